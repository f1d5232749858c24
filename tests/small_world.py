"""Every stage of a small world in one process: `python -m tests.small_world`, in a folder made by `prepare`.

As `dvc repro` from nothing, without DVC and without starting a process for each stage, which takes minutes under an
emulated processor.
"""

from __future__ import annotations

import shutil
from importlib import import_module
from pathlib import Path

import yaml

from facerec.params import load_params, profiles
from tests.conftest import ROOT

SMALL = {
    "render": {
        "synth_people": {"identities": 2, "photos": 2},
        "synth_pack": {"identities": 2, "photos": 2, "pairs": 20},
        "synth_lfw": None,
        "synth_facescrub": {"identities": 2, "photos": 2},
        "synth_megaface": {"distractors": 3},
    },
    "photos": {"synth_lfw": None},
    "benchmarks": {"synth_lfw": None, "synth_agedb": None},
    "train": {
        "epochs": 1,
        "batch": 4,
        "augment": {"colour": 0.3, "low_resolution": 0.5, "crop": 0.5, "affine": 0.5},
        "backbone": {"dim": 16, "width": 0.25},
    },
}


def prepare(folder: Path) -> None:
    """Make a folder with what the stages read beside the code, and the parameters of the small world."""
    for name in ("data/catalog", "dvc.yaml"):
        source = ROOT / name
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
    base = yaml.safe_load((ROOT / "profiles/default.yaml").read_text(encoding="utf-8"))
    (folder / "params.yaml").write_text(yaml.safe_dump(profiles.merge_patch(base, SMALL), sort_keys=False))


def main() -> None:
    """Run the stages in the order of dvc.yaml, each with all its keys."""
    import stages  # noqa: F401, first of all, since it sets the arithmetic
    from facerec.catalog import synthetic_sets

    synthetic_sets.FOLDS = 2  # instead of ten, each of which has people of its own
    params = load_params()
    plain = params.model_dump(mode="json")
    for name, stage in yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"].items():
        run = getattr(import_module(f"stages.{name}"), name.removeprefix("megaface_"))
        if "foreach" not in stage:
            run(params)
            continue
        items = plain[stage["foreach"].strip("${}")]
        words = stage["do"]["cmd"].split()[3:]  # after: python -m stages.NAME
        for key, item in items.items() if isinstance(items, dict) else zip(items, items, strict=True):
            run(params, *(word.replace("${key}", key).replace("${item}", str(item)) for word in words))


if __name__ == "__main__":
    main()
