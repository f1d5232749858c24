"""A newcomer with nothing but the wheel: compares photos, evaluates pairs, runs an experiment and publishes its network.

The wheel is installed into an environment of its own. The libraries come from this one, by links to those packages that
the wheel asks for and to no others, so that a forgotten requirement is noticed and nothing has to be downloaded.
"""

from __future__ import annotations

import importlib.metadata as metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement

from facerec.params.profiles import merge_patch
from facerec.recognition.thresholds import read_measurement
from tests.conftest import ROOT
from tests.pipeline.conftest import TINY, copy_sources

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Newcomer:
    """A folder and an environment in which commands run as a newcomer would type them."""

    folder: Path
    python: Path

    def run(self, *command: str, folder: Path | None = None, code: int = 0, **environment: str) -> tuple[str, str]:
        """Standard output and error of a command that is installed beside the interpreter."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FACEREC_", "PYTHON"))}
        known = {"PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
        known |= {"FACEREC_CACHE": str(self.folder / "cache"), "FACEREC_WORKERS": "1", "OMP_NUM_THREADS": "1"}
        known |= {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        done = subprocess.run(
            command,
            cwd=folder or self.folder,
            env={**inherited, **known, **environment},
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        assert done.returncode == code, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout, done.stderr


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(requirements: list[str], extras: set[str]) -> set[str]:
    """Installed distributions that `requirements` ask for, directly or not."""
    found: set[str] = set()
    pending = [(Requirement(each), extras) for each in requirements]
    while pending:
        wanted, given = pending.pop()
        applies = wanted.marker is None or any(wanted.marker.evaluate({"extra": each}) for each in given | {""})
        name = normal(wanted.name)
        if not applies or name == "facerec" or (name in found and not wanted.extras):
            continue
        try:
            asked = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # for another system, or not asked for by a marker of its parent
            continue
        found.add(name)
        pending += [(Requirement(each), set(wanted.extras)) for each in asked if Requirement(each).name != name]
    return found


def link(names: set[str], target: Path) -> None:
    """Links in the site-packages `target` to all that these distributions have installed."""
    for name in names:
        for file in metadata.files(name) or []:
            top, source = file.parts[0], Path(str(metadata.distribution(name).locate_file("")))
            if top in ("..", "__pycache__") or (target / top).is_symlink():
                continue
            if (source / top).exists():
                (target / top).symlink_to(source / top)


def lay(newcomer: Newcomer, extras: set[str]) -> set[str]:
    """Give the environment the libraries of the wheel with these extras; their names."""
    (site,) = (newcomer.python.parent.parent / "lib").glob("python*/site-packages")
    (info,) = site.glob("facerec-*.dist-info")
    asked = metadata.PathDistribution(info).requires or []
    names = needed(asked, extras)
    link(names, site)
    return names


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    """With the wheel and the libraries of the base installation."""
    folder = tmp_path_factory.mktemp("newcomer")
    copy_sources(folder / "source")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(folder / "source")], check=True, stdout=subprocess.DEVNULL)  # sdist, then its wheel
    shutil.rmtree(folder / "source")
    return base(folder, folder)


def base(folder: Path, wheels: Path) -> Newcomer:
    """A new environment in `folder` with the wheel and the libraries of the base installation."""
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    made = Newcomer(folder, folder / "venv/bin/python")
    (wheel,) = wheels.glob("*.whl")
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(made.python),
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
    ]
    subprocess.run([*install, str(wheel)], check=True)
    names = lay(made, set())
    assert {"torch", "typer", "safetensors"} <= names
    assert not {"dvc", "anny", "retina-face", "pytest", "timm"} & names
    return made


def test_the_command_answers_and_names_the_extra_that_is_missing(newcomer: Newcomer) -> None:
    assert newcomer.run("facerec", "--version")[0].startswith("facerec ")
    assert str(ROOT) not in newcomer.run("python", "-c", "import facerec; print(facerec.__file__)")[0]
    for words, extra in (
        (("reproduced",), "pipeline"),
        (("experiments",), "pipeline"),
        (("verify-cache",), "pipeline"),
    ):
        assert f"pip install 'facerec[{extra}]'" in newcomer.run("facerec", *words, code=1)[1]
    listed = json.loads(newcomer.run("facerec", "catalog", "--json")[0])["entries"]
    assert "lfw" in [entry["name"] for entry in listed]


def test_the_description_reads_well_away_from_the_repository(newcomer: Newcomer) -> None:
    (wheel,) = newcomer.folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith("/METADATA"))
        told = archive.read(name).decode()
    assert "Description-Content-Type: text/markdown" in told
    assert re.findall(r"""(?:\]\(|src=")(?!https?:|#)[^)"]*""", told) == []
    assert list(newcomer.folder.glob("*.tar.gz"))


def test_pairs_are_evaluated(newcomer: Newcomer) -> None:
    rows = np.random.default_rng(1).normal(size=(200, 2, 8))
    rows[::2, 1] = rows[::2, 0] + 0.1
    np.save(newcomer.folder / "pairs.npy", rows.reshape(400, 8).astype(np.float32))
    np.save(newcomer.folder / "same.npy", np.arange(200) % 2 == 0)
    words = ("--embeddings", "pairs.npy", "--same", "same.npy", "--json")
    assert json.loads(newcomer.run("facerec", "verify", *words)[0])["accuracy"] > 0.9


def test_two_real_photos_are_compared(newcomer: Newcomer, mirror: Path) -> None:
    place = {"FACEREC_MIRROR": str(mirror)}
    people = ("Aaron_Peirsol_0003", "Aaron_Peirsol_0004", "AJ_Cook_0001")
    with tarfile.open(mirror / "lfw-deepfunneled.tgz") as archive:
        for member in archive:
            if Path(member.name).stem in people:
                (newcomer.folder / Path(member.name).name).write_bytes(archive.extractfile(member).read())
    first, second, other = (f"{each}.jpg" for each in people)
    same = json.loads(newcomer.run("facerec", "compare", first, second, "--json", **place)[0])
    different = json.loads(newcomer.run("facerec", "compare", first, other, "--json", **place)[0])
    assert same["model"] == "mobilefacenet_foamliu_pt"
    assert same["detector"] == "retinaface-mnet0.25"
    assert same["similarity"] > 0.6 > 0.3 > different["similarity"]
    assert (same["same"], different["same"]) == (True, False)
    assert (same["threshold"]["benchmark"], same["threshold"]["different_pairs"]) == ("lfw", 3000)
    (measured,) = (ROOT / "data/catalog/scores").glob(f"{same['model']}/scores.parquet")
    distances = read_measurement(measured, same["digest"]).distances
    assert np.abs(distances - same["distance"]).min() < 1e-5  # these two are a pair of LFW


def test_a_new_experiment_runs_and_its_network_is_published(newcomer: Newcomer, tmp_path: Path) -> None:
    lay(newcomer, {"pipeline", "synth", "train"})
    newcomer.run("facerec", "new", "mine")
    folder = newcomer.folder / "mine"
    assert newcomer.run("git", "status", "--porcelain", folder=folder)[0] == ""
    params = merge_patch(yaml.safe_load((folder / "params.yaml").read_text()), TINY)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    newcomer.run("python", "-m", "dvc", "repro", folder=folder)
    summary = json.loads((folder / "reports/summary.json").read_text())
    assert 0 < summary["synth_lfw"]["accuracy"] <= 1
    assert (folder / "reports/index.html").is_file()
    assert "up to date" in newcomer.run("python", "-m", "dvc", "repro", folder=folder)[0]

    told = json.loads(newcomer.run("facerec", "publish", "published", "--json", folder=folder)[0])
    assert "synth_lfw" in told["benchmarks"]
    other = base(tmp_path, newcomer.folder)
    code = f"import facerec; print(facerec.embedder({str(folder / 'published')!r}).digest)"
    assert other.run("python", "-c", code)[0].strip() == told["digest"]

    newcomer.run("facerec", "lock", "--check", folder=folder)
    lock = folder / "code/plots.sha256"
    lock.write_text("0" * 64 + lock.read_text()[64:])
    assert "with other code" in newcomer.run("python", "-m", "stages.plots", folder=folder, code=1)[1]
    newcomer.run("facerec", "lock", folder=folder)
    assert "up to date" in newcomer.run("python", "-m", "dvc", "repro", folder=folder)[0]
