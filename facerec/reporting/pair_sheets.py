"""Contact sheet of a benchmark's pairs near the threshold, which shows whether the network errs, a label or a crop."""

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

PAIR_COLUMNS = 6
Values = NDArray[np.float64]


def pair_sheet(faces: str | Path, compared: Pairs, distances: Values, thresholds: Values) -> Image:
    """The contact sheet (h, w, 3) of n pairs.

    Four rows of up to 6 pairs: genuine pairs just rejected and farthest apart, impostor pairs just accepted and
    closest. The caption of a pair is its distance and its threshold. Pairs with a photo without a face are left out.

    Args:
        faces: the face set.
        compared: the pairs, as rows of the face set.
        distances: (n,).
        thresholds: (n,) of the fold of each pair, which is accepted when its distance is lower.

    Raises:
        FormatError: the lengths differ.
    """
    found = shards.read_shards(faces, "faces")
    if not len(compared) == len(distances) == len(thresholds):
        raise FormatError(f"{len(compared)} pairs do not fit {len(distances)} distances; verify {found.path} again.")
    first, second = compared.first, compared.second
    whole = (np.minimum(first, second) >= 0) & (np.maximum(first, second) < len(found))
    bands = []
    for title, chosen in _pair_rows(compared.same, distances, thresholds, whole):
        captions = [f"{distances[pair]:.3f} (threshold {thresholds[pair]:.3f})" for pair in chosen]
        tiles = [
            _pair_tile(found, (first[pair], second[pair]), text) for pair, text in zip(chosen, captions, strict=True)
        ]
        bands.append(titled_band(title, tiles, PAIR_COLUMNS))
    return np.concatenate([title_strip(f"{found.meta.dataset}: pairs and their distances"), *bands])


def write_pair_sheet(
    faces: str | Path, compared: Pairs, distances: Values, thresholds: Values, out: str | Path
) -> None:
    """Write `pair_sheet` to `out`, a .jpg or .png."""
    sheets.write_sheet(pair_sheet(faces, compared, distances, thresholds), out, quality=85)


def _pair_rows(
    same: NDArray[np.bool_], distances: Values, thresholds: Values, whole: NDArray[np.bool_]
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Title and pairs of each row; a pair is in one row only."""
    over = distances - thresholds
    for kind, people, error, extreme, sign in (
        (same, "Same person", "rejected", "farthest apart", 1.0),
        (~same, "Different people", "accepted", "closest", -1.0),
    ):
        wrong = whole & kind & ((over >= 0) if sign > 0 else (over < 0))
        nearest = _lowest(sign * over, wrong)
        yield f"{people}, just {error} (of {wrong.sum():,} {error} among {(whole & kind).sum():,})", nearest
        rest = whole & kind
        rest[nearest] = False
        yield f"{people}, {extreme} of the others", _lowest(-sign * distances, rest)


def _lowest(values: Values, among: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The pairs with the lowest values, lowest first."""
    candidates = np.flatnonzero(among)
    return candidates[np.argsort(values[candidates], kind="stable")][:PAIR_COLUMNS]


def _pair_tile(found: shards.Shards, rows: tuple[int, int], caption: str) -> Image:
    both = [sheets.thumbnail(decode_or_grey(found.image(int(row))), TILE) for row in rows]
    return add_caption(np.concatenate(both, axis=1), caption)
