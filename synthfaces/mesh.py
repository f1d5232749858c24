"""The head model as arrays: the part of the base mesh that portraits show, and its shape targets.

A head is the neutral one plus weighted targets, a linear shape model (the way MakeHuman applies its targets). A target
moves few of the vertices, so only the coordinates that it changes are kept.
Everything here is computed once per process and shared by all people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from synthfaces import assets
from synthfaces.prepared import Arrays, prepared_arrays
from synthfaces.raster import add_targets, cast_rays, sample_bilinear
from synthfaces.surface import Floats, Material, f32

_GROUPS = {
    "body": Material.SKIN,
    "helper-l-eye": Material.EYE,
    "helper-r-eye": Material.EYE,
    "helper-upper-teeth": Material.TEETH,
    "helper-lower-teeth": Material.TEETH,
    "helper-tongue": Material.TONGUE,
    "helper-l-eyelashes-2": Material.LASH,
    "helper-r-eyelashes-2": Material.LASH,
}
_NOSE_TIP = 297  # vertex of base.obj
_BOTTOM = -5.0  # dm below the eyes: what is lower is never in a portrait

ANCESTRIES = ("african", "asian", "caucasian")
_OPPOSITES = (
    ("decr", "incr"), ("down", "up"), ("in", "out"),
    ("backward", "forward"), ("concave", "convex"), ("compress", "uncompress"),
)  # fmt: skip
_SHAPES = tuple(
    f"head/head-{name}"
    for name in ("diamond", "invertedtriangular", "oval", "rectangular", "round", "square", "triangular")
)
_PARTS = ("cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose")
_UNWANTED = (
    "head-age", "head-fat", "head-trans", "head-back", "measure-", "neck-trans", "neck-double", "neck-scale-vert",
)  # fmt: skip
EXPRESSIONS = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeSquintLeft", "eyeSquintRight",
    "eyeWideLeft", "eyeWideRight", "jawLeft", "jawOpen", "jawRight", "mouthDimpleLeft",
    "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight", "mouthSmileLeft",
    "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft",
    "noseSneerRight",
)  # fmt: skip


@dataclass(frozen=True)
class HeadMesh:
    """Topology, neutral shape and named parts; positions are dm relative to the point between the eyes."""

    neutral: Floats  # (v, 3)
    triangles: NDArray[np.int32]  # (t, 3)
    material: NDArray[np.int32]  # (t,)
    masks: Floats  # (v, 4): lips, eyelids, ears, inside of the mouth
    targets: dict[str, int]  # name -> row of `starts`
    starts: NDArray[np.int64]  # (k + 1,): a target has the `places` and `offsets` from its start to the next one
    places: NDArray[np.int32]  # (n,) coordinates 0..3 v
    offsets: Floats  # (n,) dm
    eyes: tuple[NDArray[np.int64], NDArray[np.int64]]  # eyeball vertices, left and right as seen in the image
    pupils: tuple[NDArray[np.int64], NDArray[np.int64]]  # their foremost vertices
    nose: int
    mouth: tuple[int, int]  # corners, left and right as seen in the image
    face: NDArray[np.int64]  # vertices between brow and chin, ear and ear: the extent of the true box

    def moved(self, points: Floats, weights: Mapping[str, float]) -> Floats:
        """`points` (v, 3) moved by each of the named targets, as far as its weight says."""
        used = {self.targets[name]: weight for name, weight in weights.items() if weight}
        rows, amounts = np.array(list(used), np.int64), f32(list(used.values()))
        return add_targets(points.ravel(), rows, amounts, self.starts, self.places, self.offsets).reshape(points.shape)


@dataclass(frozen=True)
class Slider:
    """One signed degree of freedom of a face: the targets to add for weights below and above 0."""

    name: str
    negative: tuple[str, ...]
    positive: tuple[str, ...]


@dataclass(frozen=True)
class Scalp:
    """A polar grid of rays from the middle of the skull, and where each leaves the head.

    `azimuth` is 0 at the forehead and grows towards the person's left, from -pi to pi inclusive;
    `polar` is 0 at the crown; radians. Vertex corners (p, t, 3) and barycentric weights (p, t, 3) pin the grid to the skin.
    """

    azimuth: Floats
    polar: Floats
    directions: Floats
    corners: NDArray[np.int64]
    weights: Floats


SKULL = np.array([0.0, 0.35, -0.55], np.float32)  # the middle of the skull, where the rays start


def scalp_angles(points: Floats) -> tuple[Floats, Floats]:
    """Azimuth and polar angle (radians) of rest positions (n, 3) as `Scalp` measures them."""
    offset = points - SKULL
    return np.arctan2(offset[:, 0], offset[:, 2]), np.arctan2(np.hypot(offset[:, 0], offset[:, 2]), offset[:, 1])


@lru_cache(maxsize=1)
def sliders() -> tuple[Slider, ...]:
    """All signed face sliders, left and right moved together, in a fixed order."""
    found = []
    for part in _PARTS:
        names = [n for n in assets.target_names(part) if "/r-" not in n and not any(s in n for s in _UNWANTED)]
        for name in names:
            for low, high in _OPPOSITES:
                stem = name.removesuffix("-" + low)
                if stem != name and f"{stem}-{high}" in names:
                    found.append(Slider(stem, _both_sides(name), _both_sides(f"{stem}-{high}")))
    stems = [n.removesuffix("-l") for n in assets.target_names("asym") if n.endswith("-l") and "asymm" not in n]
    found += [Slider(stem, (f"{stem}-l",), (f"{stem}-r",)) for stem in stems]
    return (*found, *(Slider(name, (), (name,)) for name in _SHAPES))


def _both_sides(name: str) -> tuple[str, ...]:
    return (name, name.replace("/l-", "/r-")) if "/l-" in name else (name,)


def macro_weights(male: float, old: float, weight: float, ancestry: tuple[float, ...]) -> dict[str, float]:
    """Target weights of build, sex, age (0 = 25 years, 1 = 90 years) and ancestry, as MakeHuman mixes them."""
    build = {"minweight": max(0.0, -weight), "averageweight": 1 - abs(weight), "maxweight": max(0.0, weight)}
    weights = {}
    for sex, share_sex in (("male", male), ("female", 1 - male)):
        for age, share_age in (("young", 1 - old), ("old", old)):
            for origin, share in zip(ANCESTRIES, ancestry, strict=True):
                weights[f"macrodetails/{origin}-{sex}-{age}"] = share_sex * share_age * share
            for name, share in build.items():
                weights[f"macrodetails/universal-{sex}-{age}-averagemuscle-{name}"] = share_sex * share_age * share
    return weights


@lru_cache(maxsize=1)
def load_head() -> HeadMesh:
    """Load the head once per process; reading the model's files takes a second, so its arrays are kept on disk."""
    arrays = prepared_arrays("head", _read_head)
    neutral, masks = arrays["neutral"], arrays["masks"]
    eyes = arrays["left_eye"], arrays["right_eye"]
    left, right = (ids[neutral[ids, 2] > neutral[ids, 2].max() - 0.03] for ids in eyes)
    return HeadMesh(
        neutral=neutral,
        triangles=arrays["triangles"],
        material=arrays["material"],
        masks=masks,
        targets=_target_rows(),
        starts=arrays["starts"],
        places=arrays["places"],
        offsets=arrays["offsets"],
        eyes=eyes,
        pupils=(left, right),
        nose=int(arrays["nose"]),
        mouth=_mouth_corners(neutral, masks),
        face=_face_vertices(neutral, masks),
    )


def _read_head() -> Arrays:
    """Arrays of the head, out of the files of the model."""
    base = assets.load_base_mesh()
    both = np.unique(np.concatenate([base.quads["helper-l-eye"], base.quads["helper-r-eye"]]))
    centre = base.vertices[both].mean(axis=0)
    chosen = {name: _quads_above(base, name, centre[1] + _BOTTOM) for name in _GROUPS}
    used, flat = np.unique(np.concatenate(list(chosen.values())), return_inverse=True)
    quads = flat.reshape(-1, 4).astype(np.int32)
    material = np.concatenate([np.full(len(q), _GROUPS[name], np.int32) for name, q in chosen.items()])
    where = np.full(len(base.vertices), -1)
    where[used] = np.arange(len(used))
    return {
        "neutral": base.vertices[used] - centre,
        "triangles": np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]),
        "material": np.concatenate([material, material]),
        "masks": _vertex_masks(base, chosen, used),
        **_read_targets(where),
        "left_eye": where[np.unique(base.quads["helper-r-eye"])],
        "right_eye": where[np.unique(base.quads["helper-l-eye"])],
        "nose": where[_NOSE_TIP],
    }


def _quads_above(base: assets.BaseMesh, group: str, bottom: float) -> NDArray[np.int64]:
    quads = base.quads[group]
    kept: NDArray[np.int64] = quads[base.vertices[quads, 1].min(axis=1) > bottom]
    return kept


def _vertex_masks(base: assets.BaseMesh, chosen: dict[str, NDArray[np.int64]], used: NDArray[np.int64]) -> Floats:
    """Read the painted masks at the vertices of the body; the mesh is fine where they matter."""
    uv = np.zeros((len(base.vertices), 2), np.float32)
    uv[base.quads["body"].ravel()] = base.uv[base.quad_uv["body"].ravel()]
    masks = np.zeros((len(base.vertices), 4), np.float32)
    body = np.unique(chosen["body"])
    for column, name in enumerate(("lips", "eyelids", "ears", "inside-mouth")):
        image = assets.load_mask(name)
        height, width = image.shape
        masks[body, column] = sample_bilinear(image, uv[body, 0] * width, (1 - uv[body, 1]) * height, wrap=False)
    return masks[used]


def _target_rows() -> dict[str, int]:
    """The number of each target."""
    names = [*macro_weights(0.5, 0.5, 0.5, (0.3, 0.3, 0.4)), *EXPRESSIONS]
    names += [name for slider in sliders() for name in (*slider.negative, *slider.positive)]
    return {name: row for row, name in enumerate(dict.fromkeys(names))}


def _read_targets(where: NDArray[np.int64]) -> Arrays:
    """The targets of `HeadMesh`, for vertices that are at `where` in it, or -1."""
    starts, places, offsets = [0], [], []
    for name in _target_rows():
        index, offset = assets.load_target(name)
        place, moved = 3 * where[index][:, None] + np.arange(3), (where[index] >= 0)[:, None] & (offset != 0)
        places.append(place[moved])
        offsets.append(offset[moved])
        starts.append(starts[-1] + len(places[-1]))
    return {
        "starts": np.array(starts),
        "places": np.concatenate(places).astype(np.int32),
        "offsets": f32(np.concatenate(offsets)),
    }


def _mouth_corners(neutral: Floats, masks: Floats) -> tuple[int, int]:
    lips = np.flatnonzero((masks[:, 0] > 0.5) & (masks[:, 3] < 0.5))
    return int(lips[np.argmin(neutral[lips, 0])]), int(lips[np.argmax(neutral[lips, 0])])


def _face_vertices(neutral: Floats, masks: Floats) -> NDArray[np.int64]:
    x, y, z = neutral.T
    return np.flatnonzero((y < 0.62) & (y > -1.16) & (z > -0.3) & (np.abs(x) < 0.8) & (masks[:, 2] < 0.1))


@lru_cache(maxsize=1)
def scalp_grid(azimuths: int = 73, polars: int = 40) -> Scalp:
    """Cast the grid of rays once; ears are left out so that hair lies behind them."""
    model = load_head()
    ears = model.masks[:, 2] > 0.3
    usable = (model.material == Material.SKIN) & ~ears[model.triangles].any(axis=1)
    triangles = model.triangles[usable & (model.neutral[model.triangles, 1].min(axis=1) > -1.6)]
    azimuth = np.linspace(-np.pi, np.pi, azimuths, dtype=np.float32)
    angle = np.linspace(np.radians(2), np.radians(150), polars, dtype=np.float32)
    sin, cos = np.sin(angle)[None], np.cos(angle)[None]
    directions = np.stack(
        [np.sin(azimuth)[:, None] * sin, np.broadcast_to(cos, (azimuths, polars)), np.cos(azimuth)[:, None] * sin],
        axis=2,
    ).astype(np.float32)

    def cast() -> Arrays:
        hit, weights = cast_rays(SKULL, directions.reshape(-1, 3), model.neutral, triangles)
        return {"corners": triangles[hit].astype(np.int64), "weights": weights}

    kept = prepared_arrays(f"scalp-{azimuths}-{polars}", cast)
    corners, weights = (kept[name].reshape(azimuths, polars, 3) for name in ("corners", "weights"))
    return Scalp(azimuth, angle, directions, corners, weights)


def scalp_points(points: Floats) -> Floats:
    """Where the rays of `scalp_grid` leave a head with vertices `points` (v, 3): (p, t, 3)."""
    grid = scalp_grid()
    return f32((points[grid.corners] * grid.weights[..., None]).sum(axis=2))
