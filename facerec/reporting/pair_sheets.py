"""A picture of a benchmark's pairs at the edge of the threshold: the errors, and what nearly was one.

Looking at them tells a bad network from a wrong label, a wrong face and a crop that missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.core import FormatError
from facerec.imaging import sheets
from facerec.imaging.sheets import TILE, Image, add_caption, decode_or_grey, title_strip, titled_band
from facerec.store import shards
from facerec.store.pairs import Pairs

COLUMNS = 6
Values = NDArray[np.float64]


def pair_sheet(faces: str | Path, compared: Pairs, distances: Values, thresholds: Values) -> Image:
    """The sheet (h, w, 3) of n pairs of rows of face set `faces`.

    Four rows of up to 6 pairs: same person, just rejected and farthest apart; different people, just accepted and
    closest. Under a pair stand its distance and the threshold that judged it. `distances` and `thresholds` are (n,);
    a pair is accepted when its distance is below. Pairs with a photo that gave no face are left out.
    """
    found = shards.read_shards(faces, "faces")
    if not len(compared) == len(distances) == len(thresholds):
        raise FormatError(
            f"{len(compared)} pairs do not fit {len(distances)} distances; verify {found.path} again."
        )
    first, second = compared.first, compared.second
    whole = (np.minimum(first, second) >= 0) & (np.maximum(first, second) < len(found))
    bands = []
    for title, chosen in _groups(compared.same, distances, thresholds, whole):
        tiles = [
            _tile(
                found, int(first[pair]), int(second[pair]), f"{distances[pair]:.3f} (threshold {limit:.3f})"
            )
            for pair, limit in zip(chosen.tolist(), thresholds[chosen].tolist(), strict=True)
        ]
        bands.append(titled_band(title, tiles, COLUMNS))
    return np.concatenate([title_strip(f"{found.meta.dataset}: pairs and their distances"), *bands])


def write_pair_sheet(
    faces: str | Path, compared: Pairs, distances: Values, thresholds: Values, out: str | Path
) -> None:
    """Write the sheet to `out`, a .jpg or .png."""
    sheets.check_sheet_name(out)
    sheets.write_sheet(pair_sheet(faces, compared, distances, thresholds), out, quality=85)


def _groups(
    same: NDArray[np.bool_], distances: Values, thresholds: Values, whole: NDArray[np.bool_]
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Title and pairs of the four rows; a pair is in one row only."""
    over = distances - thresholds
    for kind, people, error, extreme, sign in (
        (same, "Same person", "rejected", "farthest apart", 1.0),
        (~same, "Different people", "accepted", "closest", -1.0),
    ):
        wrong = whole & kind & ((over >= 0) if sign > 0 else (over < 0))
        nearest = _first(sign * over, wrong)
        yield f"{people}, just {error} (of {wrong.sum():,} {error} among {(whole & kind).sum():,})", nearest
        rest = whole & kind
        rest[nearest] = False
        yield f"{people}, {extreme} of the others", _first(-sign * distances, rest)


def _first(values: Values, among: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The pairs of the smallest values, smallest first."""
    candidates = np.flatnonzero(among)
    return candidates[np.argsort(values[candidates], kind="stable")][:COLUMNS]


def _tile(found: shards.Shards, first: int, second: int, caption: str) -> Image:
    both = [sheets.thumbnail(decode_or_grey(found.image(row)), TILE) for row in (first, second)]
    return add_caption(np.concatenate(both, axis=1), caption)
