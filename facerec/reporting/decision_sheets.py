"""Contact sheets of decisions about training faces, for the eye: what cleaning found, and who is in two sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facerec.curation.cleaning import KINDS, FoundErrors
from facerec.curation.overlap import SharedPeople
from facerec.imaging import sheets
from facerec.imaging.sheets import TILE, Image, add_caption, decode_or_grey, title_strip, titled_band
from facerec.store.decisions import Decision, put_decisions
from facerec.store.shards import Shards

_MOST = 36
"""Decisions of a kind that are shown, evenly over all of them in the order of similarity."""
_COLUMNS = {"two-names": 1, "unusable": 12, "duplicate": 6, "foreign": 3}
"""Decisions in a row: each shows 12 / columns faces."""
_EMPTY = np.full((TILE, TILE, 3), 225, np.uint8)


def write_decided(
    found: FoundErrors | SharedPeople, model: str | Path, out: Path, sheet: Path | None, reviewed: str | Path | None
) -> dict[str, Any]:
    """Write what `model` found: decisions to `out`, with the actions of the file `reviewed`, and a sheet; its counts."""
    decided = put_decisions(found.decisions({"model": str(model)}), out, reviewed)
    if sheet is not None:
        picture = cleaning_sheet(found) if isinstance(found, FoundErrors) else overlap_sheet(found)
        sheets.write_sheet(picture, sheet, quality=85)
    return found.metrics(decided)


def cleaning_sheet(errors: FoundErrors) -> Image:
    """The contact sheet (h, w, 3) of the errors of a face set, a band a kind.

    Two names: six faces of each. Unusable: the face. Duplicate: the photo that is left out and the one that stays.
    Foreign: the photo, then three of its identity. Below stand the similarity and the name.
    """
    name = errors.faces.meta.dataset
    bands = [title_strip(f"{name}: {len(errors.found):,} decisions about {len(errors.faces):,} faces")]
    rows = {source: row for row, source in enumerate(errors.faces.sources)}
    for kind in KINDS:
        own = [each for each in errors.found if each.reason == kind]
        tiles = [_error_tile(errors, rows, each) for each in _some(own)]
        bands.append(titled_band(f"{kind}: {len(own):,}", tiles, _COLUMNS[kind]))
    return np.concatenate(bands)


def overlap_sheet(shared: SharedPeople) -> Image:
    """The contact sheet (h, w, 3) of candidates: six faces of the training identity, six of the benchmark's person."""
    bands = [title_strip(f"{shared.test.meta.dataset}: people who may be in training sets")]
    for shards, overlap in shared.parts:
        tiles = []
        for each in overlap.candidates[:_MOST]:
            first, second = overlap.train.names[each.train], overlap.test.names[each.test]
            caption = f"{each.similarity:.3f} by {each.by}: {first} | {second}"
            pictures = _faces(shards, overlap.train.nearest(each.train, 6))
            pictures += _faces(shared.test, overlap.test.nearest(each.test, 6))
            tiles.append(_strip(pictures, caption))
        title = f"{shards.meta.dataset}: {len(overlap.candidates):,} candidates, centres above {overlap.cut:.3f}"
        bands.append(titled_band(title, tiles, 1))
    return np.concatenate(bands)


def _error_tile(errors: FoundErrors, rows: dict[str, int], decision: Decision) -> Image:
    people, faces = errors.people, errors.faces
    similarity = "" if decision.similarity is None else f"{decision.similarity:.3f}"
    if decision.identity:
        pictures = [
            picture
            for name in (decision.identity, decision.like)
            for picture in _faces(faces, people.nearest(people.names.index(name), 6))
        ]
        return _strip(pictures, f"{similarity} {decision.identity} | {decision.like}")
    row = rows[decision.photo]
    shown = [row]
    if decision.reason == "duplicate":
        shown.append(rows[decision.like])
    if decision.reason == "foreign":
        others = people.nearest(int(people.members[row]), 4)
        shown += [other for other in others if other != row][:3]
    pictures = [_picture(faces, each) for each in shown]
    pictures += [_EMPTY] * (12 // _COLUMNS[decision.reason] - len(pictures))
    return _strip(pictures, f"{similarity} {decision.photo} {decision.like}")


def _some(decisions: Sequence[Decision]) -> Iterator[Decision]:
    """Up to `_MOST` of them, lowest similarity first."""
    ordered, count = sorted(decisions, key=lambda each: each.similarity or 0), min(_MOST, len(decisions))
    return (ordered[number * len(ordered) // count] for number in range(count))


def _faces(shards: Shards, rows: Sequence[int]) -> list[Image]:
    """The faces in up to six rows, and grey in place of those missing."""
    return [_picture(shards, row) for row in rows] + [_EMPTY] * (6 - len(rows))


def _picture(shards: Shards, row: int) -> Image:
    return sheets.thumbnail(decode_or_grey(shards.image(row)), TILE)


def _strip(pictures: Sequence[Image], caption: str) -> Image:
    return add_caption(sheets.contact_sheet(pictures, len(pictures)), caption)
