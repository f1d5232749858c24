"""WebDataset: tars in which the members of one image have one name and several extensions.

`00000012.jpg` is the image, `00000012.cls` the number of its class and `00000012.json` what else is known, here identity,
source and landmarks. Other members are left out. https://github.com/webdataset/webdataset
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from facerec.core import FormatError, parse_json
from facerec.interop.file_sources import FileSource, open_source

_SHARD = 256 << 20  # bytes of images in a tar
_LONGEST = 1 << 20  # bytes of what is said of an image


def read_set(path: Path) -> tuple[list[str], Iterator[dict[str, Any]], dict[str, str]]:
    """Identities and images of a tar, or of the tars of a folder in the order of their names.

    The identity is the one in .json, else the text of .cls, else "".
    """
    tars = sorted(path.glob("*.tar")) if path.is_dir() else [path]
    identities = []
    for tar in tars:
        with open_source(tar) as files:
            identities += [_known(files, members, tar).get("identity", "") for members in _samples(files, tar).values()]
    return identities, _images(tars), {}


def _images(tars: list[Path]) -> Iterator[dict[str, Any]]:
    for tar in tars:
        with open_source(tar) as files:
            for key, members in _samples(files, tar).items():
                known, image = _known(files, members, tar), members["image"]
                source = known.get("source") or f"{tar.stem}/{key}{PurePosixPath(image).suffix}"
                yield {"image": files.read(image), "source": source, "landmarks": known.get("landmarks")}


def _samples(files: FileSource, tar: Path) -> dict[str, dict[str, str]]:
    """Key -> names of the members "image", "cls" and "json"; keys without an image are left out."""
    found: dict[str, dict[str, str]] = {}
    for name in files.names:
        folder, _, last = name.rpartition("/")
        stem, _, extension = last.partition(".")
        key = f"{folder}/{stem}" if folder else stem
        kind = extension if extension in ("cls", "json") else "image" if files.is_photo(name) else ""
        if kind and found.setdefault(key, {}).setdefault(kind, name) != name:
            raise FormatError(f"{tar} has two members of one kind for {key}: {found[key][kind]} and {name}.")
    return {key: members for key, members in found.items() if "image" in members}


def _known(files: FileSource, members: dict[str, str], tar: Path) -> dict[str, Any]:
    """identity, source and landmarks of an image, as far as they are given."""
    texts = {kind: files.read(members[kind]) for kind in ("cls", "json") if kind in members}
    if any(len(text) > _LONGEST for text in texts.values()):
        raise FormatError(f"{tar}: what it says of {members['image']} is longer than {_LONGEST:,} bytes.")
    known = parse_json(texts.get("json", b"{}"), f"{tar}, {members.get('json')}")
    known = known if isinstance(known, dict) else {}
    known = {key: known[key] for key in ("identity", "source") if isinstance(known.get(key), str)} | (
        {"landmarks": known["landmarks"]} if known.get("landmarks") else {}
    )
    number = texts.get("cls", b"").decode("utf-8", "replace").strip()
    return known if "identity" in known or number in ("", "-1") else {**known, "identity": number}


def write_set(rows: Iterable[dict[str, Any]], folder: Path, pairs: list[tuple[int, int, bool]]) -> None:
    """Write rows as `part-000000.tar` and so on; equal rows give equal bytes. Pairs have no place in this format."""
    pending = iter(rows)
    row = next(pending, None)
    number = 0
    while row is not None:
        with tarfile.open(folder / f"part-{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            used = 0
            while row is not None and used < _SHARD:
                used += len(row["image"])
                _add(tar, row)
                row = next(pending, None)
        number += 1


def _add(tar: tarfile.TarFile, row: dict[str, Any]) -> None:
    key = PurePosixPath(row["name"]).stem
    landmarks = {} if row["landmarks"] is None else {"landmarks": row["landmarks"].tolist()}
    known = {"identity": row["identity"], "source": row["source"], **landmarks}
    members = {f"{key}.cls": str(row["label"]).encode(), row["name"]: row["image"]}
    for name, content in {**members, f"{key}.json": json.dumps(known, sort_keys=True).encode()}.items():
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
