"""Photos of LFW for the benchmarks, from the archive in the folder FACEREC_MIRROR."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.imaging import images


def mirror() -> Path:
    """The folder of real data; without it, the script ends with a message."""
    folder = os.environ.get("FACEREC_MIRROR")
    if not folder:
        print("FACEREC_MIRROR names no folder with lfw-deepfunneled.tgz, so nothing was measured.")
        raise SystemExit(0)
    return Path(folder)


def lfw(count: int) -> list[NDArray[np.uint8]]:
    """`count` decoded photos, spread evenly over the archive."""
    with tarfile.open(mirror() / "lfw-deepfunneled.tgz") as archive:
        members = [member for member in archive.getmembers() if member.name.endswith(".jpg")]
        chosen = members[:: len(members) // count][:count]
        files = (archive.extractfile(member) for member in chosen)
        return [images.decode(file.read()) for file in files if file is not None]
