"""Descriptions that readers give of a file or folder to `facerec inspect`: its kind, facts, images.

A reader has a function `describe_...(path)` that returns a `Description`, or None when the path is of another kind:

    >>> Description("list of photos", {"entries": 2}).facts
    {'entries': 2}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Album:
    """A set of n encoded images, of which `inspect` looks at a sample.

    Attributes:
        read: gives the encoded bytes of an image by its row.
        labels: (n,) identity numbers, -1 where unknown.
        sources: n names of the images.
        aligned: whether they are aligned faces, whose colours can be judged.
        paired: whether images 2i and 2i + 1 are a pair, to be shown side by side.
    """

    read: Callable[[int], bytes | memoryview]
    labels: NDArray[np.int64]
    sources: Sequence[str]
    aligned: bool = False
    paired: bool = False

    @classmethod
    def of_pairs(cls, path: Path, read: Callable[[int], bytes], count: int) -> Album:
        """The images of a verification pack of `count` pairs at `path`, pair by pair."""
        import numpy as np

        sources = [f"{path.stem}/{row:06d}" for row in range(2 * count)]
        return cls(read, np.full(2 * count, -1, np.int64), sources, aligned=True, paired=True)


@dataclass(frozen=True)
class Description:
    """One file or folder.

    Attributes:
        kind: what it is, in a few words.
        facts: plain values for people and JSON, in the order in which they are shown; None leaves a fact out.
        album: its images, which `inspect` counts and samples.
        shown: names and encoded bytes of images to show as they are, where there is no album.
    """

    kind: str
    facts: dict[str, Any]
    album: Album | None = None
    shown: Sequence[tuple[str, bytes]] = ()


def has_magic(path: Path, *magic: bytes) -> bool:
    """Whether the file begins with one of these bytes."""
    with path.open("rb") as file:
        return file.read(16).startswith(magic)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file() and not each.is_symlink())


def spread_of(values: NDArray[Any]) -> dict[str, float]:
    """Smallest, median and largest of some numbers that are not NaN; nothing where there are none."""
    if not len(values):
        return {}
    smallest, largest = values.min().item(), values.max().item()
    return {"min": smallest, "median": float(median(values.tolist())), "max": largest}


def range_of(array: NDArray[Any]) -> dict[str, Any]:
    """Smallest and largest number of an array, or that some are not finite; nothing where it holds none."""
    if not array.size or array.dtype.kind not in "iuf":
        return {}
    smallest, largest = float(array.min()), float(array.max())
    return {"min": smallest, "max": largest} if isfinite(smallest) and isfinite(largest) else {"finite": False}


def pair_counts(same: NDArray[np.bool_]) -> dict[str, int]:
    """Numbers of genuine ("same") and impostor ("different") pairs."""
    return {"pairs": len(same), "same": int(same.sum()), "different": int((~same).sum())}


def rate_name(rate: float) -> str:
    """A rate as it is written in the names of metrics.

    >>> rate_name(0.001), rate_name(0.0005), rate_name(0.00015)
    ('1e-3', '5e-4', '1.5e-4')
    """
    mantissa, exponent = f"{rate:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
