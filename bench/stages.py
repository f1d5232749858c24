"""CPU time of stages and commands, start included: this checkout against another one.

    git worktree add /tmp/before COMMIT
    python bench/stages.py --against /tmp/before

Every measurement is a process of its own with all its workers, as a user would start it. The two checkouts take turns;
the ratio is the median over the rounds. A first round, which is not counted, compiles the loops of each and checks that
both have the same outputs, but for --help. Without --against, this checkout is measured alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import yaml
from _timing import cpu_of_children

HERE = Path(__file__).resolve().parents[1]
RENDER = {"synth_facescrub": {"identities": 24, "photos": 6}, "synth_people": {"identities": 12, "photos": 12}}
SCRIPT = "from facerec.cli import main; main()"
NETWORK = """
from facerec import use_portable_arithmetic
use_portable_arithmetic()
import torch
from facerec.backbones import storage
from facerec.store.model_metadata import Preprocessing
torch.manual_seed(1)
storage.save_backbone(storage.create_backbone("mobilefacenet", 128, {"width": 0.25}, Preprocessing()), "backbone.pt")
"""
PUBLISHED = """
from pathlib import Path
import torch, yaml
from facerec.store.model_metadata import Preprocessing
from tests import published_names
Path("published").mkdir()
torch.save(published_names.filled(published_names.foamliu()), "published/net.pt")
Path("published/preprocessing.yaml").write_text(yaml.safe_dump(Preprocessing().to_dict()))
"""
PHOTOS = """
from pathlib import Path
from facerec.store import shards
photos = shards.read_shards("data/raw/synth_facescrub", "photos")
for number, name in enumerate(("a.jpg", "b.jpg")):
    Path(name).write_bytes(bytes(photos.image(number)))
"""
WORK = {
    "render, 144 people with a photo each": (["-m", "stages.render", "synth_facescrub"], "data/raw/synth_facescrub"),
    "render, 12 people with 12 photos each": (["-m", "stages.render", "synth_people"], "data/raw/synth_people"),
    "detect, 144 photos": (["-m", "stages.detect", "synth_facescrub"], "data/detections"),
    "facerec detect photo.jpg": (["-c", SCRIPT, "detect", "a.jpg", "--json"], None),
    "facerec compare a.jpg b.jpg": (
        ["-c", SCRIPT, "compare", "a.jpg", "b.jpg", "--model", "backbone.pt", "--json"],
        None,
    ),
    "facerec compare, published weights": (
        ["-c", SCRIPT, "compare", "a.jpg", "b.jpg", "--model", "published", "--json"],
        None,
    ),
    "facerec --help": (["-c", SCRIPT, "--help"], None),
}
"""What is measured: the arguments of Python, and the output beside its standard output."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="checkout of another commit")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="only work whose name has these words")
    options = parser.parse_args()
    checkouts = [HERE, *([options.against.resolve()] if options.against else [])]
    with tempfile.TemporaryDirectory() as name:
        folders = [prepare(checkout, Path(name, str(place))) for place, checkout in enumerate(checkouts)]
        print(f"{'CPU seconds':40} {'before':>8} {'now':>8}   now/before (of each round)")
        for what, (arguments, output) in WORK.items():
            if options.only not in what:
                continue
            results = [result(folder, arguments, output) for folder in folders]
            same = all(each == results[0] for each in results) or "--help" in arguments
            assert same, f"{what}: other outputs than {options.against}"
            rounds = [[measure(folder, arguments) for folder in folders] for _ in range(options.rounds)]
            seconds = [f"{median(times):8.2f}" for times in zip(*rounds, strict=True)]
            ratios = sorted(times[0] / times[-1] for times in rounds)
            spread = " ".join(f"{ratio:.2f}" for ratio in ratios) if len(seconds) > 1 else ""
            compared = f"   x {median(ratios):.2f} ({spread})" if spread else ""
            print(f"{what:40} {seconds[1] if spread else '':>8} {seconds[0]}{compared}", flush=True)


def prepare(checkout: Path, folder: Path) -> Path:
    """A folder with the parameters and catalog of a checkout, a network and two photos."""
    folder.mkdir()
    (folder / "code").symlink_to(checkout)
    shutil.copytree(checkout / "data/catalog", folder / "data/catalog")
    params = yaml.safe_load((checkout / "params.yaml").read_text(encoding="utf-8"))
    params["render"].update(RENDER)
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    for arguments in (["-m", "stages.render", "synth_facescrub"], ["-c", NETWORK], ["-c", PUBLISHED], ["-c", PHOTOS]):
        run(folder, arguments)
    return folder


def run(folder: Path, arguments: list[str]) -> bytes:
    """Standard output of Python with these arguments, which runs the checkout that belongs to the folder."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("FACEREC_", "OMP_"))}
    environment["PYTHONPATH"] = str((folder / "code").resolve())
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def result(folder: Path, arguments: list[str], output: str | None) -> dict[str, bytes]:
    """What the command prints, and the files it writes."""
    printed = {"": run(folder, arguments)}
    files = (folder / output).rglob("*.*") if output else []
    return printed | {file.name: file.read_bytes() for file in sorted(files)}


def measure(folder: Path, arguments: list[str]) -> float:
    """CPU seconds of the command and of all its processes."""
    before = cpu_of_children()
    run(folder, arguments)
    return cpu_of_children() - before


if __name__ == "__main__":
    main()
