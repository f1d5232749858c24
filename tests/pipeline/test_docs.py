"""Every command of README.md and docs/ is run, in the tiny experiment, or says why not (see tests/documents.py).

A page is run from top to bottom in a copy of the finished project; each block begins at its root, in the environment
that the blocks before left. There are also the files that pages speak of: photo.jpg, photos/ (identity folders), photos.zip,
faces_webface_112x112/ (an InsightFace pack), theirs.json (another system's ROC), E.npy and S.npy (pairs), P.npy,
D.npy and ids.txt (identification); programs in Python find `embeddings` and `same`.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from facerec.interop import exporting, pair_lists
from facerec.store import embeddings, gallery, shards
from tests import documents
from tests.documents import Block, Command
from tests.pipeline.conftest import FORKED, Project, stage_environment

pytestmark = pytest.mark.pipeline

INSTEAD = {
    "make repro": "dvc repro",
    "dvc exp run -S train.head.margin=0.3": "dvc exp run -S train.head.margin=0.3 train",
    "facerec inspect ANYTHING --sheet sheet.png": "facerec inspect photos --sheet sheet.png",
}
"""Commands of several pages, or of README.md, and the same on a small scale."""

NOT_RUN = {"make test": "it is what runs this test"}
"""Commands, and why they are not run."""

NAMES = """
import numpy as np
embeddings, same = np.load("E.npy"), np.load("S.npy")
"""


@pytest.fixture
def shown(copy: Project) -> Project:
    """The finished project with the files that pages speak of."""
    root = copy.root
    photos = shards.read_shards(root / "data/raw/synth_lfw")
    (root / "photo.jpg").write_bytes(photos.image(0))
    exporting.export_images(root / "data/raw/synth_lfw", root / "photos")
    shutil.make_archive(str(root / "photos"), "zip", root / "photos")
    shutil.copytree(root / "data/raw/synth_pack", root / "faces_webface_112x112")
    shutil.copy(root / "reports/curves/synth_lfw_roc.json", root / "theirs.json")
    faces = embeddings.read_embeddings(root / "data/embeddings/synth_lfw.npy")
    compared = pair_lists.read_pairs(root / "data/raw/synth_lfw/pairs.txt", faces.sources)
    np.save(root / "E.npy", np.nan_to_num(compared.interleave(faces.matrix)))
    np.save(root / "S.npy", compared.same)
    probes, distractors = embeddings.read_feature_sets(root / "data/megaface/synth_megaface/features")
    np.save(root / "P.npy", probes.matrix)
    np.save(root / "D.npy", distractors.matrix)
    (root / "ids.txt").write_text("\n".join(probes.identities))
    return copy


class Shell:
    """One shell after another, each in the environment that the last one left."""

    def __init__(self, root: Path, state: Path) -> None:
        self._root, self._state = root, state
        self.printed = ""
        self.go_home()

    def go_home(self) -> None:
        """Begin at the root again; the environment stays."""
        with self._state.open("a") as state:
            state.write(f"cd '{self._root}'\n")

    def run(self, script: str, fails: bool = False) -> str:
        """What a script prints; it has to succeed, or to fail."""
        whole = f'cd "{self._root}"; . "{self._state}"; set -eo pipefail\n{script}\nexport -p > "{self._state}"\n'
        done = subprocess.run(
            ["bash", "-c", whole],
            env={**stage_environment(), **FORKED},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1200,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"{script}\n{done.stdout}"
        self.printed += done.stdout
        return done.stdout


def run_command(command: Command, shell: Shell) -> None:
    if command.plain in NOT_RUN:
        return
    output = shell.run(INSTEAD.get(command.plain, command.text), command.fails)
    missing = documents.lacking(command.printed, output)
    assert missing == [], f"{command.text}\n{output}"


def run_block(block: Block, shell: Shell) -> None:
    if "not run" in block.notes:
        return
    shell.go_home()
    if first := block.notes.get("run first"):
        shell.run(first)
    if instead := block.notes.get("run instead"):
        shell.run(instead)
    elif block.language == "python":
        shell.run(f"python - <<'PYTHON'\n{NAMES}{block.body}\nPYTHON")
    else:
        for command in block.commands:
            run_command(command, shell)


def check_using(root: Path, printed: str) -> None:
    """What docs/using.md says and leaves behind beyond the lines below its commands."""
    assert "No evidence about real people" in printed
    assert "measured on synth_lfw (200 different pairs of synthetic faces)" in printed
    assert (root / "who.png").read_bytes().startswith(b"\x89PNG")
    assert gallery.read_gallery(root / "team.gallery").people == {
        "Fezil_Lashail": 3,
        "Howiond_Laijund": 3,
        "Raiweal_Troshean": 3,
    }


CHECKS = {"using": check_using}

PAGES = [
    page
    for page in documents.pages()
    if page.stem != "extending"  # tests/test_extending.py runs it
    and any(b.language in documents.RUN for b in documents.blocks(page))
]


@pytest.mark.slow  # the pages take minutes each
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page(page: Path, shown: Project, tmp_path: Path) -> None:
    shell = Shell(shown.root, tmp_path / "environment")
    for block in documents.blocks(page):
        if block.language in documents.RUN:
            try:
                run_block(block, shell)
            except AssertionError as error:
                note = "correct it, or say in a comment above how to take it (tests/documents.py)"
                raise AssertionError(f"{block.place}: {note}\n{error}") from error
    if page.stem in CHECKS:
        CHECKS[page.stem](shown.root, shell.printed)


def test_what_stands_for_make_is_what_make_does(project: Project) -> None:
    assert "dvc repro" in project.run("make", "-n", "repro")


def test_nothing_is_excused_that_no_page_shows() -> None:
    consoles = [b.commands for page in PAGES for b in documents.blocks(page) if b.language == "console"]
    plain = {command.plain for commands in consoles for command in commands}
    assert {*INSTEAD, *NOT_RUN} <= plain
