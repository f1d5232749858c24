"""What a folder is: shards, a pack, a bcolz folder, devkit features, a model, photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from facerec.core import FormatError
from facerec.inspection import binaries, models
from facerec.inspection.finding import Album, Finding, size_of, spread_of
from facerec.interop import archives, bcolz, devkit, packing, photos, unpacking
from facerec.store import embeddings, failures, shards


def recognise(path: Path) -> Finding:
    """What the folder `path` is; FormatError when it is nothing that is known."""
    for look in (_shards, _bcolz, _features, _sets, _devkit, _pack, _model):
        found = look(path)
        if found is not None:
            return found
    return photo_files(path, "photo folder")


def photo_files(path: Path, kind: str) -> Finding:
    """Photos of a folder or an archive, whose folders are their identities."""
    with archives.open_source(path) as files:
        names = [name for name in files.names if photos.is_photo(name, files)]
        if not names:
            raise FormatError(f"{path} holds no photos, shards, packs, features or models.")
        folders = [name.rpartition("/")[0].rpartition("/")[2] for name in names]
        numbers = {folder: number for number, folder in enumerate(sorted({*folders} - {""}))}
        labels = np.array([numbers.get(folder, -1) for folder in folders], np.int64)
        others = len(files.names) - len(names)
        album = Album(lambda row: files.read(names[row]), labels, names)
        return album.finding(kind, bytes=size_of(path), colour="as stored", other_files=others)


def _shards(path: Path) -> Finding | None:
    if not shards.is_set(path):
        return None
    opened = shards.read_shards(path)
    meta = opened.meta
    facts: dict[str, Any] = {"dataset": meta.dataset, "licence": meta.licence or "not stated"}
    if meta.size is not None:
        facts |= {"size": f"{meta.size[0]}x{meta.size[1]}", "template": meta.template}
        fallbacks = Counter(opened.table["rung"].to_pylist())
        facts["rungs"] = {str(fallback): count for fallback, count in sorted(fallbacks.items(), key=str)}
        lost = failures.read_failures(path)
        facts |= {"photos_without_face": len(lost)} if lost else {}
    facts |= {"colour": meta.colour, "parts": len(list(path.glob("part-*.arrow"))), "bytes": size_of(path)}
    beside = sorted(each.name for each in path.iterdir() if not each.name.startswith("part-"))
    paired = (path / packing.PAIRS).is_file() and not (opened.labels >= 0).any()
    album = Album(opened.image, opened.labels, opened.sources, meta.kind == "faces", paired)
    return album.finding(
        f"{meta.kind.removesuffix('s')} shards", **facts, **({"beside": beside} if beside else {})
    )


def _bcolz(path: Path) -> Finding | None:
    if not bcolz.is_folder(path):
        return None
    return binaries.bcolz_folder(path)


def _features(path: Path) -> Finding | None:
    if not (path / "probes.npy").is_file():
        return None
    probes, distractors = embeddings.read_feature_sets(path)
    people = np.unique(probes.identities, return_counts=True)[1]
    facts = {
        "probes": len(probes),
        "identities": len(people),
        "images_per_identity": spread_of(people),
        "distractors": len(distractors),
        "dimensions": probes.matrix.shape[1],
        "bytes": size_of(path),
    }
    return Finding("features of an identification benchmark", facts)


def _sets(path: Path) -> Finding | None:
    """A folder of sets of shards, as `facerec unpack` makes of a pack."""
    found = {each.name: shards.read_shards(each) for each in sorted(path.iterdir()) if shards.is_set(each)}
    if not found:
        return None
    images = {name: len(opened) for name, opened in found.items()}
    kinds = sorted({opened.meta.kind for opened in found.values()})
    return Finding("folder of sets of shards", {"images": images, "kinds": kinds, "bytes": size_of(path)})


def _devkit(path: Path) -> Finding | None:
    """Feature files <photo>_<algorithm>.bin at any depth, as the MegaFace devkit reads and writes them."""
    files = _nested(path, ".bin")
    first = next(files, None)
    if first is None or not binaries.is_matrix(first):
        return None
    matrix = devkit.read_matrix(first)
    rest = [first, *files]
    algorithms = Counter(each.stem.rpartition("_")[2] for each in rest)
    facts = {
        "files": len(rest),
        "shape": list(matrix.shape),
        "type": str(matrix.dtype),
        "algorithms": dict(algorithms.most_common(5)),
        "norm_of_the_first": float(np.linalg.norm(matrix.astype(np.float64))),
        "bytes": size_of(path),
        "names": [each.relative_to(path).as_posix() for each in rest[:5]],
    }
    return Finding("folder of devkit features", facts)


def _pack(path: Path) -> Finding | None:
    """A pack: its training set, with the verification sets beside it as facts."""
    try:
        members = unpacking.find_members(path)
    except FormatError:
        return None
    if len(members) == 1 and members[0].suffix == ".rec":
        return binaries.rec(members[0])
    found = {member.name: binaries.member(member) for member in members}
    main = next(iter(found.values()))
    others = {name: each.facts["images"] for name, each in found.items() if each is not main}
    facts = {**main.facts, "bytes": size_of(path), "other_members": others}
    return Finding("pack", {"members": list(found), **facts}, main.pictures, main.names)


def _model(path: Path) -> Finding | None:
    found = sorted(path.glob("*.onnx"))
    return models.onnx(found[0]) if len(found) == 1 else None


def _nested(path: Path, suffix: str) -> Iterator[Path]:
    """Files of that extension at any depth, in sorted order."""
    for each in sorted(path.iterdir()):
        if each.is_dir() and not each.is_symlink():
            yield from _nested(each, suffix)
        elif each.suffix == suffix and each.is_file():
            yield each
