"""What goes wrong in real runs ends in one clear sentence, leaves nothing half-written, and can go on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facerec.store import shard_writing, shards
from tests.pipeline.conftest import Project, executed, stage_environment

pytestmark = pytest.mark.pipeline


def leftovers(root: Path) -> list[Path]:
    """Temporary files and directories below the outputs, some of which may vanish meanwhile."""
    return [
        Path(folder) / name
        for top in ("data", "models", "reports")
        for folder, folders, files in os.walk(root / top)
        for name in (*folders, *files)
        if name.endswith(".tmp")
    ]


def sentence(output: str) -> str:
    """The one line that explains a failure."""
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in output
    return line


def test_a_broken_parameter_is_named_by_the_stage_and_the_command(copy: Project) -> None:
    text = (copy.root / "params.yaml").read_text()
    (copy.root / "params.yaml").write_text(text.replace("margin: 0.2", "margin: half"))
    told = "train.head.margin should be a valid number"
    assert told in sentence(copy.run("facerec", "check", check=False))
    assert told in sentence(copy.run("dvc", "repro", check=False))
    (copy.root / "params.yaml").write_text(text)
    assert executed(copy.run("dvc", "repro")) == []


def test_a_missing_file_is_named(copy: Project) -> None:
    shutil.rmtree(copy.root / "data/raw/synth_lfw")
    output = copy.run("python", "-m", "stages.detect", "synth_lfw", check=False)
    assert "data/raw/synth_lfw" in sentence(output)


@pytest.mark.slow
def test_scores_that_cannot_be_had_are_one_sentence(copy: Project, tmp_path: Path) -> None:
    compare = ("facerec", "compare-runs", "HEAD")
    assert "there is no revision margins" in sentence(copy.run(*compare, "margins", check=False))
    assert "neither run judged a benchmark lwf" in sentence(
        copy.run(*compare, "HEAD", "--benchmark", "lwf", check=False)
    )
    shutil.rmtree(copy.root / ".dvc/cache/files")
    assert "make a baseline here" in sentence(copy.run(*compare, check=False))
    nowhere = Project(tmp_path / "nowhere")
    nowhere.root.mkdir()
    assert "is not a git repository" in sentence(nowhere.run(*compare, check=False))
    assert "is no DVC project" in sentence(nowhere.run(*compare[:2], "workspace", check=False))


@pytest.mark.slow
def test_a_truncated_photo_is_counted_and_the_rest_goes_on(copy: Project) -> None:
    raw = copy.root / "data/raw/synth_lfw"
    photos = shards.read_shards(raw, "photos")
    rows = [photos.row(row) for row in range(len(photos))]
    rows[3]["image"] = bytes(rows[3]["image"])[:900]
    rows[5]["image"] = b"no image at all"
    listed = (raw / "pairs.txt").read_bytes()
    shard_writing.write_shards(rows, raw, photos.meta)
    (raw / "pairs.txt").write_bytes(listed)
    for stage in ("detect", "align", "embed", "verify"):
        split = ["test"] if stage == "align" else []
        copy.run("python", "-m", f"stages.{stage}", "synth_lfw", *split)
    assert '"undecodable": 2' in (copy.root / "reports/metrics/detect/synth_lfw.json").read_text()
    assert f'"faces": {len(rows) - 2}' in (copy.root / "reports/metrics/align/synth_lfw.json").read_text()
    assert '"failures": 0' not in (copy.root / "data/scores/synth_lfw/result.json").read_text()


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_half_written(copy: Project) -> None:
    shutil.rmtree(copy.root / "data/raw/synth_people")
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.render", "synth_people"],
        cwd=copy.root,
        env={**stage_environment(), "FACEREC_WORKERS": "2"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not leftovers(copy.root) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert leftovers(copy.root), "the stage wrote nothing to interrupt"
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in sentence(errors)
    assert leftovers(copy.root) == []
    assert not (copy.root / "data/raw/synth_people").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_the_next_run_goes_on(copy: Project) -> None:
    target = copy.root / "data/detections"
    shutil.rmtree(target)
    target.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "full", target], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let tests mount a file system")
    try:
        output = copy.run("python", "-m", "stages.detect", "synth_lfw", check=False)
        assert "no space left on the disk" in sentence(output)
        assert list(target.iterdir()) == []
    finally:
        subprocess.run(["umount", target], check=True)
    copy.run("python", "-m", "stages.detect", "synth_lfw")
    assert (target / "synth_lfw.parquet").is_file()
