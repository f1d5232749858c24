"""kill -9 at random moments of detect and align, then clean runs: bytes equal to those of uninterrupted ones."""

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

from facerec.imaging import images
from facerec.interop.file_sources import LIMITS, open_source
from facerec.store import shard_writing, shards
from tests import cartoon, children

ROOT = Path(__file__).parent.parent
RUN = """
import sys
import time

import numpy as np

from facerec import aligning, detection
from facerec.detection import table


class Slow:
    '''Sees one face in the middle of every photo, slowly.'''

    name = "slow"

    def detect(self, images):
        time.sleep(0.05 * len(images))
        box = np.array([[40, 30, 150, 180]], np.float32)
        points = np.array([[[70, 80], [120, 80], [95, 110], [75, 140], [115, 140]]], np.float32)
        return [detection.Faces(box, points, np.ones(1, np.float32)) for image in images]


if __name__ == "__main__":
    detection.DETECTORS["slow"] = "__main__:Slow"
    stage, photos, out, detector, job = sys.argv[1:]
    table._JOB = aligning.crops._JOB = int(job)
    if stage == "detect":
        table.detect_set(photos, f"{out}/d.parquet", detector, workers=1)
    else:
        aligning.align_set(photos, f"{out}/d.parquet", f"{out}/faces", workers=1)
"""


def start(folder: Path, stage: str, out: Path, detector: str, job: int) -> subprocess.Popen[str]:
    """Detect or align, in a process of its own.

    The code is a copy, since parts that other code made would rightly not be used.
    """
    return subprocess.Popen(
        [sys.executable, folder / "run.py", stage, folder / "photos", out, detector, str(job)],
        cwd=folder,
        env={**os.environ, "FACEREC_SCRATCH": f"{out}-scratch"},
        stderr=subprocess.PIPE,
        text=True,
    )


def parts(folder: Path) -> set[str]:
    return {path.name for path in files(folder / "out-scratch") if path.suffix == ".part"}


def files(out: Path) -> set[Path]:
    """Every file below `out`, hidden ones too; folders that vanish meanwhile are passed over, unlike by rglob."""
    return {Path(folder) / name for folder, _, names in os.walk(out) for name in names}


def bytes_of(out: Path) -> dict[str, bytes]:
    """What stands in them, when nobody writes any more."""
    return {str(path.relative_to(out)): path.read_bytes() for path in files(out)}


def kill_and_finish(folder: Path, detector: str, job: int, kills: dict[str, list[float]]) -> None:
    """Kill runs so many seconds after each has made some new part or output, and compare with whole runs."""
    shutil.copytree(ROOT / "facerec", folder / "facerec", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "run.py").write_text(RUN)
    whole, out = folder / "whole", folder / "out"
    for stage, moments in kills.items():
        uninterrupted, left = start(folder, stage, whole, detector, job), set[str]()
        for moment in moments:
            process = start(folder, stage, out, detector, job)
            before = parts(folder), files(out)
            while process.poll() is None and (parts(folder), files(out)) == before:
                time.sleep(0.002)
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            left |= parts(folder)
        assert left, f"no run of {stage} was killed while it had parts"
        children.finish(start(folder, stage, out, detector, job), seconds=600)
        children.finish(uninterrupted, seconds=600)
        assert bytes_of(out) == bytes_of(whole)
        assert bytes_of(folder / "out-scratch") == {}


@pytest.mark.slow
def test_kill_9_and_a_clean_run_give_the_same_bytes(tmp_path: Path) -> None:
    rows = []
    for number in range(24):
        image, _ = cartoon.photo({"width": 60.0 + 2 * number, "centre": (95.0 + number % 9, 100.0)})
        data = images.encode_jpeg(image)[: 900 if number == 7 else None]
        rows.append({"image": data, "label": number, "identity": f"p{number}", "source": f"{number:03d}.jpg"})
    shard_writing.write_shards(rows, tmp_path / "photos", shards.Meta("photos", "drawn"))
    kill_and_finish(tmp_path, "slow", 1, {"detect": [0.3], "align": [0.0]})


@pytest.mark.slow
def test_ten_kills_on_500_photos_give_the_same_bytes(tmp_path: Path, mirror: Path) -> None:
    with open_source(mirror / "lfw-deepfunneled.tgz", LIMITS, tmp_path) as files:
        names = files.photos()[:500]
        rows = [{"image": files.read(name), "label": -1, "identity": "", "source": name} for name in names]
    shard_writing.write_shards(rows, tmp_path / "photos", shards.Meta("photos", "lfw"))
    chance = random.Random(1)
    kills = {"detect": [chance.uniform(0, 3) for _ in range(6)], "align": [chance.uniform(0, 0.2) for _ in range(4)]}
    kill_and_finish(tmp_path, "mtcnn", 16, kills)
