"""What `facerec inspect` says of shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from facerec.core import Album, Description, FormatError, has_magic, size_of
from facerec.store.shards import PAIRS, is_shard_set, paths_of_parts, read_failures, read_shards


def describe_shards(path: Path) -> Description | None:
    """A set of photos or faces."""
    if not is_shard_set(path):
        return None
    opened = read_shards(path)
    meta = opened.meta
    facts: dict[str, Any] = {"dataset": meta.dataset, "licence": meta.licence or "not stated"}
    if meta.size is not None:
        facts |= {"size": f"{meta.size[0]}x{meta.size[1]}", "template": meta.template}
        rungs = pc.value_counts(opened.column("rung")).to_pylist()
        counted = {str(each["values"]): each["counts"] for each in rungs}
        facts["rungs"] = dict(sorted(counted.items()))
        facts["photos_without_face"] = len(read_failures(opened)) or None
    beside = sorted(each.name for each in path.iterdir() if not each.name.startswith("part-"))
    facts |= {
        "colour": meta.colour,
        "parts": len(paths_of_parts(path)),
        "bytes": size_of(path),
        "beside": beside or None,
    }
    paired = PAIRS in beside and not (opened.labels >= 0).any()
    album = Album(opened.image, opened.labels, opened.sources, meta.kind == "faces", paired)
    return Description(f"{meta.kind.removesuffix('s')} shards", facts, album)


def describe_shard_sets(path: Path) -> Description | None:
    """A folder of sets, as `facerec unpack` makes of a pack."""
    found = {each.name: read_shards(each) for each in sorted(path.iterdir()) if is_shard_set(each)}
    images = {name: len(opened) for name, opened in found.items()}
    kinds = sorted({opened.meta.kind for opened in found.values()})
    facts = {"images": images, "kinds": kinds, "bytes": size_of(path)}
    return Description("folder of sets of shards", facts) if found else None


def describe_part(path: Path) -> None:
    """Refuse a single part of a set, which does not say enough by itself."""
    if has_magic(path, b"ARROW1"):
        raise FormatError(f"{path} is one part of a set of shards; inspect its folder {path.parent}.")
