"""Small packs of drawn faces in the forms of other systems."""

import json
import struct
from pathlib import Path

import cv2
import numpy as np
from numcodecs import blosc

from facerec.imaging import images
from facerec.interop import recordio, verification_packs
from facerec.store import shard_writing, shards
from tests import cartoon


def face(number: int, size: tuple[int, int] = (112, 112)) -> np.ndarray:
    """A drawn face (h, w, 3), another one for every number."""
    skin = (214 - number * 17 % 90, 160 - number * 13 % 60, 130 - number * 7 % 60)
    drawn = cartoon.photo({"width": 110.0 + number % 7}, skin=skin)[0]
    return cv2.resize(drawn, size[::-1], interpolation=cv2.INTER_AREA)


def jpeg(number: int, size: tuple[int, int] = (112, 112)) -> bytes:
    """The bytes of a drawn face."""
    return images.encode_jpeg(face(number, size))


def rec(folder: Path, groups: dict[int, int], size: tuple[int, int] = (112, 112)) -> list[bytes]:
    """Write an InsightFace pack with so many faces of each label; returns them in order."""
    faces = {label: [jpeg(10 * label + i, size) for i in range(count)] for label, count in groups.items()}
    recordio.write_pack(folder, list(faces.items()), size)
    return [image for group in faces.values() for image in group]


def verification(path: Path, same: list[bool]) -> list[bytes]:
    """Write a .bin; returns its images."""
    faces = [jpeg(i) for i in range(2 * len(same))]
    verification_packs.write_bin(path, faces, same)
    return faces


def bcolz(folder: Path, same: list[bool], chunk: int = 3) -> list[np.ndarray]:
    """Write a bcolz folder and its list, channels blue, green, red; returns its RGB images."""
    faces = [face(i) for i in range(2 * len(same))]
    for name in ("meta", "data"):
        (folder / name).mkdir(parents=True)
    sizes = {"shape": [len(faces), 3, 112, 112], "nbytes": 0, "cbytes": 0}
    (folder / "meta/sizes").write_text(json.dumps(sizes))
    storage = {"dtype": "float32", "chunklen": chunk, "expectedlen": chunk, "dflt": 0.0, "cparams": {}}
    (folder / "meta/storage").write_text(json.dumps(storage))
    for number, start in enumerate(range(0, len(faces), chunk)):
        array = np.stack(faces[start : start + chunk])[..., ::-1].transpose(0, 3, 1, 2)
        values = ((array.astype(np.float32) / 255 - 0.5) / 0.5).astype(np.float32)
        packed = blosc.compress(np.ascontiguousarray(values), b"lz4", 5, blosc.SHUFFLE)
        header = struct.pack("<4sB3xq", b"blpk", 1, 1)
        (folder / f"data/__{number}.blp").write_bytes(header + packed)
    np.save(folder.with_name(f"{folder.name}_list.npy"), np.array(same))
    return faces


def face_set(
    folder: Path, rows: list[tuple[int, str, str]], kind: str = "faces", lost: list[shards.Failure] | None = None
) -> list[bytes]:
    """Write shards with a drawn image for every (label, identity, source), and the `lost` photos; returns the images."""
    made = [
        {"image": jpeg(i), "label": label, "identity": name, "source": source, "rung": "pack"}
        for i, (label, name, source) in enumerate(rows)
    ]
    size = (112, 112) if kind == "faces" else None
    meta = shards.Meta(kind, "drawn", size=size, template="arcface-112" if size else "")
    folder.mkdir(parents=True, exist_ok=True)
    shard_writing.write_parts(made, folder, meta, failures=lost and (lambda: lost))
    return [row["image"] for row in made]
