"""Checkpoints: all that a stopped training needs to go on as if nothing had happened.

They lie in the scratch folder (machine setting FACEREC_SCRATCH), outside DVC, below a digest of the faces, the
recipe and the code: a checkpoint of another training is never found. One is written at the end of every epoch
and every FACEREC_CHECKPOINT_SECONDS (300) between; when it is written changes no result. The newest and the one
before are kept; each appears at once and whole, and one that was damaged later is passed over.
"""

from __future__ import annotations

import io
import os
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from facerec import distributed
from facerec.core import ParamsError, atomic_file, local_setting, resumable
from facerec.params import Train
from facerec.store.shards import Shards

Content = dict[str, Any]
"""Plain values and tensors, so that reading them runs no code."""


class Checkpoints:
    """Two checkpoints in `folder`, written at least `seconds` apart unless asked for."""

    def __init__(self, folder: Path, seconds: float | None = None) -> None:
        self.folder = folder
        self._seconds = _setting() if seconds is None else seconds
        self._newest, self._previous = folder / "newest.pt", folder / "previous.pt"
        self._last = time.monotonic()

    @property
    def others(self) -> bool:
        """Whether trainings of other faces, recipes or code left checkpoints."""
        return any(path.parent != self.folder for path in self.folder.parent.glob("*/*.pt"))

    @property
    def due(self) -> bool:
        """Whether the last one was written long enough ago."""
        return time.monotonic() - self._last >= self._seconds

    def read(self) -> Content | None:
        """The newest that is whole, on the CPU; None where there is none."""
        return next(filter(None, map(_read, (self._newest, self._previous))), None)

    def write(self, content: Content) -> None:
        """Write the newest, on rank 0; the newest so far becomes the one before. OSError where the disk is full."""
        self._last = time.monotonic()
        if distributed.rank() > 0:
            return
        buffer = io.BytesIO()  # torch's own writing to a full disk ends in no OSError
        torch.save(content, buffer)
        with atomic_file(self._newest) as temporary:
            with temporary.open("wb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileNotFoundError):
                self._newest.replace(self._previous)


@contextmanager
def kept(sets: Sequence[Shards], recipe: Train) -> Iterator[Checkpoints]:
    """The checkpoints of training `recipe` on `sets`; a block that ends well removes them.

    Leave the block when the weights are safely written. Of several processes the first one finds the folder, which
    all must see, and removes it.
    """
    if distributed.rank() > 0:
        yield Checkpoints(Path(distributed.share("")))
        return
    inputs = {
        "faces": [shards.path for shards in sets],
        "init": recipe.init and Path(recipe.init),
        "validation": recipe.validation.faces and Path(recipe.validation.faces),
        "recipe": recipe.model_dump(mode="json", exclude={"init"}),
    }
    with resumable.parts("train", inputs) as work:
        distributed.share(str(work.folder))
        yield Checkpoints(work.folder)


def _read(path: Path) -> Content | None:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:  # torch itself does not look at the checksums
                return None
        content: Content = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, zipfile.BadZipFile):
        return None
    return content


def _setting() -> float:
    value = local_setting("checkpoint_seconds", "300")
    try:
        return float(value)
    except ValueError:
        raise ParamsError(f"FACEREC_CHECKPOINT_SECONDS must be a number, not {value!r}.") from None
