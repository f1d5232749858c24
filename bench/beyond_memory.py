"""Training on a set that is larger than memory, against one that fits: images a second, bytes read, waiting for data.

    python bench/beyond_memory.py [--faces 1000000] [--steps 400]

What `facerec train --trial` does, with random faces of a set of so many drawn ones, in a control group whose memory,
pages of files included, is half of that set, but 2 GB at least; and with a small set in such a group, each twice in turn.
Before each trial the system forgets the files. Needs root, cgroup v1 or v2 for memory, and seven kilobytes of disk a face.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _faces import SIDE, cartoons
from _timing import absent

from facerec.store import shard_writing, shards

HERE = Path(__file__).resolve().parent.parent
DRAWN = 4096  # different images; the set repeats them
LEAST = 2 << 30
"""Bytes that a training may take beside the pages of the set: mostly the libraries, and memory kept for the next step."""
TRIAL = """
import json, sys
from dataclasses import asdict
from facerec.core import torch_device, use_portable_arithmetic
use_portable_arithmetic()
from facerec.params import load_params
from facerec.store.shards import read_shards
from facerec.training.trial import try_recipe
faces, params, steps = sys.argv[1:]
print(json.dumps(asdict(try_recipe([read_shards(faces)], load_params(params).train, torch_device(), int(steps)))))
"""


@contextmanager
def group(limit: int) -> Iterator[Path]:
    """A control group of `limit` bytes of memory; the script ends where there can be none."""
    for root, name in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        place = root / f"facerec-{uuid.uuid4().hex[:8]}"
        try:
            place.mkdir()
            (place / name).write_text(str(limit))
        except OSError:
            continue
        try:
            yield place
        finally:
            place.rmdir()
        return
    absent("There is no control group for memory that this user may make, so nothing was measured.")


def write(folder: Path, count: int) -> int:
    """A set of `count` faces of a hundred people in `folder`; its bytes."""
    drawn = list(cartoons(min(count, DRAWN), 100))
    rows = ({**drawn[number % len(drawn)], "source": f"{number}.jpg"} for number in range(count))
    meta = shards.Meta("faces", folder.name, size=(SIDE, SIDE), template=f"arcface-{SIDE}")
    shard_writing.write_shards(rows, folder, meta)
    return sum(path.stat().st_size for path in folder.iterdir())


def trial(faces: Path, limited: Path, steps: int) -> dict[str, Any]:
    """What a trial tells, and the bytes that it read from the disk."""
    for path in faces.iterdir():
        with path.open() as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    join = f'echo $$ > {limited}/cgroup.procs; exec "$@"'
    command = [sys.executable, "-c", TRIAL, str(faces), str(HERE / "params.yaml"), str(steps)]
    process = subprocess.Popen(["sh", "-c", join, "sh", *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = json.loads(process.stdout.read())
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0
    return {**told, "read": 512 * used.ru_inblock}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python bench/beyond_memory.py", description=__doc__)
    parser.add_argument("--faces", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        sizes = {count: write(Path(folder, f"faces_{count}"), count) for count in (20_000, options.faces)}
        limit = max(LEAST, sizes[options.faces] // 2)
        print(f"memory: {limit / 1e9:.2f} GB, {options.steps} steps")
        for count, size in [*sizes.items()] * 2:
            with group(limit) as limited:
                told = trial(Path(folder, f"faces_{count}"), limited, options.steps)
            print(
                f"{count:,} faces of {size / 1e9:.2f} GB: {told['images_per_second']:.0f} images/s, "
                f"{told['read'] / 1e6:.0f} MB read, {told['waiting_for_data']:.1%} of the time waiting for data"
            )


if __name__ == "__main__":
    main()
