"""Facts of a finished set below data/raw/: its photos, identities and pairs, its bytes and its digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facerec.catalog.entries import CatalogEntry, SetCounts
from facerec.core import combined_digest, file_digests
from facerec.interop import pair_lists, recordio, verification_packs
from facerec.store import shards


def describe_set(entry: CatalogEntry, path: str | Path) -> dict[str, Any]:
    """Facts of the finished set of `entry` in `path`: photos, identities and pairs where known, bytes and digest."""
    path = Path(path)
    files = file_digests(path)
    size = sum((path / name).stat().st_size for name in files)
    return {**count_set(entry, path).model_dump(), "bytes": size, "sha256": combined_digest(files)}


def count_set(entry: CatalogEntry, folder: Path) -> SetCounts:
    """Photos, identities and pairs of the finished set of `entry` in `folder`, as far as its kind can tell."""
    if entry.kind == "photos":
        found = shards.read_shards(folder, "photos")
        return SetCounts(photos=len(found), identities=found.classes, pairs=_pairs(folder))
    if (folder / "train.rec").is_file():
        reader = recordio.RecordReader(folder / "train.rec")
        return SetCounts(photos=len(reader.image_keys()), identities=_identities(reader))
    packed = sorted(folder.glob("*.bin")) if entry.kind == "pack" else []
    return SetCounts(pairs=len(verification_packs.read_bin(packed[0])[1]) if len(packed) == 1 else _pairs(folder))


def _pairs(folder: Path) -> int | None:
    """Pairs of LFW's list, where the set has one."""
    listed = folder / "pairs.txt"
    return len(pair_lists.read_lfw(listed)) if listed.is_file() else None


def _identities(reader: recordio.RecordReader) -> int:
    """People in a pack: InsightFace lists one range of keys for each; elsewhere labels are counted."""
    keys = reader.image_keys()
    ranges = len(reader) - len(keys) - 1  # record 0 announces them
    return ranges if ranges > 0 else len({reader.number(key) for key in keys.tolist()})
