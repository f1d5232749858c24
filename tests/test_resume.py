"""kill -9 at any moment of detect and align, then a clean run: bytes equal to an uninterrupted run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facerec import images
from facerec.formats import archives, photos, shards
from tests import cartoon

ROOT = Path(__file__).parent.parent
RUN = """
import sys
from facerec import enrolment
from facerec.detection import table

if __name__ == "__main__":
    table._JOB = enrolment._JOB = int(sys.argv[1])
    photos, out = sys.argv[2:4]
    workers = int(sys.argv[4])
    table.detect(photos, f"{out}/d.parquet", "mtcnn", {"min_face": 40}, workers=workers)
    enrolment.align(photos, f"{out}/d.parquet", f"{out}/faces", workers=workers)
"""


def start(folder: Path, job: int, out: Path, workers: int) -> subprocess.Popen[bytes]:
    """Detect and align in a process of its own."""
    script = folder / "run.py"
    script.write_text(RUN)
    return subprocess.Popen(
        [sys.executable, script, str(job), folder / "photos", out, str(workers)],
        cwd=folder,
        env={**os.environ, "FACEREC_SCRATCH": str(folder / "scratch")},
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors.decode()


def parts(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("scratch/*/*/*.part")}


def bytes_of(out: Path) -> dict[str, bytes]:
    """Every file below `out`, hidden ones too."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def kill_and_finish(folder: Path, job: int, kills: int, workers: int, seconds: float) -> None:
    """Kill runs at random moments, each after some new part or output, and compare the last with a whole run.

    The code is a copy, since parts that other code made would rightly not be used.
    """
    shutil.copytree(ROOT / "facerec", folder / "facerec", ignore=shutil.ignore_patterns("__pycache__"))
    whole, out = folder / "whole", folder / "out"
    finish(start(folder, job, whole, workers))
    chance = random.Random(1)
    for _ in range(kills):
        process = start(folder, job, out, workers)
        before = parts(folder), bytes_of(out).keys()
        while process.poll() is None and (parts(folder), bytes_of(out).keys()) == before:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, seconds))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert (folder / "scratch").exists() or (out / "faces").exists()
    finish(start(folder, job, out, workers))
    assert bytes_of(out) == bytes_of(whole)
    assert bytes_of(folder / "scratch").keys() == set()


def test_kill_9_and_a_clean_run_give_the_same_bytes(tmp_path: Path) -> None:
    rows = []
    for number in range(24):
        image, _ = cartoon.photo({"width": 60.0 + 2 * number, "centre": (95.0 + number % 9, 100.0)})
        data = images.encode_jpeg(image)[: 900 if number == 7 else None]
        rows.append({"image": data, "label": number, "identity": f"p{number}", "source": f"{number:03d}.jpg"})
    shards.write(rows, tmp_path / "photos", shards.Meta("photos", "drawn"))
    kill_and_finish(tmp_path, job=4, kills=2, workers=1, seconds=0.3)


@pytest.mark.slow
def test_ten_kills_on_500_photos_give_the_same_bytes(tmp_path: Path, mirror: Path) -> None:
    with archives.files(mirror / "lfw-deepfunneled.tgz", archives.LIMITS, tmp_path) as files:
        names = [name for name in files.names if photos.is_photo(name, files)][:500]
        rows = [{"image": files.read(name), "label": -1, "identity": "", "source": name} for name in names]
    shards.write(rows, tmp_path / "photos", shards.Meta("photos", "lfw"))
    kill_and_finish(tmp_path, job=16, kills=10, workers=2, seconds=2.0)
