"""Compiled loops of the renderer over meshes and textures: z-buffer, interpolation, normals, rays, texture lookup.

Perspective-correct interpolation: attribute / depth is linear on the screen (Heckbert 1989). The first
surface at a pixel wins; triangles with coverage below 1 are tested against a strand texture, which
gives hair its ragged edge without blending.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facerec.core import compiled

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
ALWAYS, TOWARDS_VIEWER, NEVER = range(3)
"""When the triangles of a material are drawn. A closed surface shows only those turned to the viewer, whose corners run
counter-clockwise seen from there; y grows downwards."""


def rasterise(
    screen: Floats,
    triangles: Ints,
    coverage: Floats,
    strands: Floats,
    shape: tuple[int, int],
    drawn: tuple[Ints, Ints] | None = None,
) -> tuple[Floats, Ints, Floats]:
    """Draw `triangles` (t, 3) of `screen` (v, 3: x, y in pixels, z > 0) on a picture of `shape` (h, w).

    `coverage` (v, 3) is opacity and the place in the texture `strands` (512, 512). `drawn` is the material (t,) of each
    triangle, and for every material (m,) ALWAYS, TOWARDS_VIEWER or NEVER.

    Returns:
        Depth (h, w), infinite where nothing is; the index (h, w) of the visible triangle, or -1; its first two
        barycentric weights (h, w, 2).
    """
    depth = np.full(shape, np.inf, np.float32)
    index = np.full(shape, -1, np.int32)
    weights = np.zeros((*shape, 2), np.float32)
    material, rules = drawn or (np.zeros(len(triangles), np.int32), np.array([ALWAYS], np.int32))
    _rasterise(screen, triangles, coverage, strands, material, rules, depth, index, weights)
    return depth, index, weights


@compiled
def _rasterise(
    screen: Floats,
    triangles: Ints,
    coverage: Floats,
    strands: Floats,
    material: Ints,
    rules: Ints,
    depth: Floats,
    index: Ints,
    weights: Floats,
) -> None:
    (height, width), (rows, columns) = depth.shape, strands.shape
    for t in range(triangles.shape[0]):
        a, b, c, rule = triangles[t, 0], triangles[t, 1], triangles[t, 2], rules[material[t]]
        if rule == TOWARDS_VIEWER:
            across, down = screen[b, 0] - screen[a, 0], screen[b, 1] - screen[a, 1]
            if not across * (screen[c, 1] - screen[a, 1]) < (screen[c, 0] - screen[a, 0]) * down:
                continue
        ax, ay, az = float(screen[a, 0]), float(screen[a, 1]), float(screen[a, 2])
        bx, by, bz = float(screen[b, 0]), float(screen[b, 1]), float(screen[b, 2])
        cx, cy, cz = float(screen[c, 0]), float(screen[c, 1]), float(screen[c, 2])
        x0, x1 = max(0, int(np.ceil(min(ax, bx, cx)))), min(width - 1, int(np.floor(max(ax, bx, cx))))
        y0, y1 = max(0, int(np.ceil(min(ay, by, cy)))), min(height - 1, int(np.floor(max(ay, by, cy))))
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        shown = rule != NEVER and max(coverage[a, 0], coverage[b, 0], coverage[c, 0]) > 0
        if not shown or x1 < x0 or y1 < y0 or abs(area) < 1e-9 or min(az, bz, cz) <= 0:
            continue
        solid = min(coverage[a, 0], coverage[b, 0], coverage[c, 0]) >= 1
        near_a, near_b, near_c = 1 / az, 1 / bz, 1 / cz
        ux, uy, u0 = (by - cy) / area, (cx - bx) / area, (bx * cy - by * cx) / area
        vx, vy, v0 = (cy - ay) / area, (ax - cx) / area, (cx * ay - cy * ax) / area
        for y in range(y0, y1 + 1):
            u_row, v_row = u0 + uy * y, v0 + vy * y
            first, last = x0, x1
            if x1 - x0 > 3:  # of long rows, the part inside all three edges, and a pixel more for rounding
                low, high = float(x0), float(x1)
                for start, slope in ((u_row, ux), (v_row, vx), (1 - u_row - v_row, -ux - vx)):
                    if slope > 0:
                        low = max(low, -start / slope)
                    elif slope < 0:
                        high = min(high, -start / slope)
                first, last = int(low), min(int(high) + 1, x1)
            for x in range(first, last + 1):
                u, v = u_row + ux * x, v_row + vx * x
                w = 1 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                z = 1 / (u * near_a + v * near_b + w * near_c)
                if z >= depth[y, x]:
                    continue
                u, v = u * z * near_a, v * z * near_b
                if not solid:
                    w = 1 - u - v
                    opacity = u * coverage[a, 0] + v * coverage[b, 0] + w * coverage[c, 0]
                    column = int(u * coverage[a, 1] + v * coverage[b, 1] + w * coverage[c, 1]) % columns
                    row = int(u * coverage[a, 2] + v * coverage[b, 2] + w * coverage[c, 2]) % rows
                    if opacity <= strands[row, column]:
                        continue
                depth[y, x], index[y, x] = z, t
                weights[y, x, 0], weights[y, x, 1] = u, v


@compiled
def interpolate(index: Ints, weights: Floats, triangles: Ints, attributes: Floats, count: int) -> Floats:
    """Attributes (v, k) at the `count` covered pixels in row-major order -> (count, k) float32."""
    result = np.empty((count, attributes.shape[1]), np.float32)
    n = 0
    for y in range(index.shape[0]):
        for x in range(index.shape[1]):
            t = index[y, x]
            if t < 0:
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            u, v = weights[y, x, 0], weights[y, x, 1]
            w = 1 - u - v
            for k in range(attributes.shape[1]):
                result[n, k] = u * attributes[a, k] + v * attributes[b, k] + w * attributes[c, k]
            n += 1
    return result


@compiled
def blend(image: Floats, weight: Floats, colour: Floats) -> None:
    """Mix `colour` (3,) into `image` (h, w, 3) in place, by `weight` (h, w)."""
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            share = weight[y, x]
            for k in range(3):
                image[y, x, k] += share * (colour[k] - image[y, x, k])


@compiled
def add_targets(
    coordinates: Floats,
    rows: NDArray[np.int64],
    weights: Floats,
    starts: NDArray[np.int64],
    places: Ints,
    offsets: Floats,
) -> Floats:
    """`coordinates` (3 v,) plus the `rows` (k,) of targets of a `HeadMesh`, each times its weight (k,)."""
    result = coordinates.copy()
    for k in range(len(rows)):
        weight = weights[k]
        for n in range(starts[rows[k]], starts[rows[k] + 1]):
            result[places[n]] += weight * offsets[n]
    return result


@compiled
def vertex_normals(points: Floats, triangles: Ints) -> Floats:
    """Area-weighted unit normals (v, 3) of a mesh; a vertex without triangles gets zeros."""
    normals = np.zeros(points.shape, np.float32)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in range(3):
            k = triangles[t, corner]
            normals[k, 0] += nx
            normals[k, 1] += ny
            normals[k, 2] += nz
    for k in range(len(points)):
        length = np.sqrt(normals[k, 0] ** 2 + normals[k, 1] ** 2 + normals[k, 2] ** 2)
        if length > 0:
            for axis in range(3):
                normals[k, axis] /= length
    return normals


@compiled
def _cast_rays(
    origin: Floats, directions: Floats, points: Floats, triangles: Ints, hit: NDArray[np.int64], weights: Floats
) -> None:
    count = len(triangles)
    edges, offset = np.empty((count, 2, 3), np.float32), np.empty((count, 3), np.float32)
    normal, height = np.empty((count, 3), np.float32), np.empty(count, np.float32)
    for t in range(count):
        for k in range(3):
            corner = points[triangles[t, 0], k]
            edges[t, 0, k] = points[triangles[t, 1], k] - corner
            edges[t, 1, k] = points[triangles[t, 2], k] - corner
            offset[t, k] = origin[k] - corner
        sx, sy, sz = offset[t, 0], offset[t, 1], offset[t, 2]
        ex, ey, ez = edges[t, 0, 0], edges[t, 0, 1], edges[t, 0, 2]
        normal[t, 0], normal[t, 1], normal[t, 2] = sy * ez - sz * ey, sz * ex - sx * ez, sx * ey - sy * ex
        height[t] = edges[t, 1, 0] * normal[t, 0] + edges[t, 1, 1] * normal[t, 1] + edges[t, 1, 2] * normal[t, 2]
    for r in range(len(directions)):
        farthest = 0.0
        dx, dy, dz = directions[r, 0], directions[r, 1], directions[r, 2]
        for t in range(count):
            e1, e2, s, q = edges[t, 0], edges[t, 1], offset[t], normal[t]
            px, py, pz = dy * e2[2] - dz * e2[1], dz * e2[0] - dx * e2[2], dx * e2[1] - dy * e2[0]
            det = e1[0] * px + e1[1] * py + e1[2] * pz
            if abs(det) < 1e-12:
                continue
            u = (s[0] * px + s[1] * py + s[2] * pz) / det
            v = (dx * q[0] + dy * q[1] + dz * q[2]) / det
            distance = height[t] / det
            if u >= -1e-6 and v >= -1e-6 and u + v <= 1 + 1e-6 and distance > farthest:
                farthest = distance
                hit[r] = t
                weights[r, 0], weights[r, 1], weights[r, 2] = 1 - u - v, u, v


def cast_rays(
    origin: NDArray[np.float32],
    directions: NDArray[np.float32],
    points: NDArray[np.float32],
    triangles: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Outermost triangle that each ray (r, 3) from `origin` meets, and the barycentric weights (r, 3).

    A ray that misses gets the result of the ray before it (Moeller and Trumbore 1997).
    """
    hit = np.full(len(directions), -1, np.int64)
    weights = np.zeros((len(directions), 3), np.float32)
    _cast_rays(origin, directions, points, triangles, hit, weights)
    source = np.maximum.accumulate(np.where(hit >= 0, np.arange(len(hit)), 0))
    return hit[source], weights[source]


@compiled
def _sample_bilinear(image: Floats, x: Floats, y: Floats, wrap: bool, out: Floats) -> None:
    height, width, channels = image.shape
    for n in range(len(x)):
        left, top = np.floor(x[n]), np.floor(y[n])
        right_share, lower_share = x[n] - left, y[n] - top
        x0, y0 = int(left), int(top)
        if wrap:  # a division takes longer than all the rest
            x0, y0 = x0 % width, y0 % height
            x1, y1 = x0 + 1 if x0 + 1 < width else 0, y0 + 1 if y0 + 1 < height else 0
        else:
            x1, y1 = x0 + 1, y0 + 1
            x0, x1 = min(max(x0, 0), width - 1), min(max(x1, 0), width - 1)
            y0, y1 = min(max(y0, 0), height - 1), min(max(y1, 0), height - 1)
        for c in range(channels):
            upper = image[y0, x0, c] + (image[y0, x1, c] - image[y0, x0, c]) * right_share
            lower = image[y1, x0, c] + (image[y1, x1, c] - image[y1, x0, c]) * right_share
            out[n, c] = upper + (lower - upper) * lower_share


def sample_bilinear(image: Floats, x: Floats, y: Floats, wrap: bool = True) -> Floats:
    """Bilinear values of `image` (h, w[, c]) at pixel coordinates x, y (n,); outside it wraps or repeats the edge."""
    channels = image.shape[2:]
    out = np.empty((len(x), *(channels or (1,))), np.float32)
    flat = np.ascontiguousarray(image, np.float32).reshape(*image.shape[:2], -1)
    _sample_bilinear(flat, x.astype(np.float32), y.astype(np.float32), wrap, out)
    return out.reshape(len(x), *channels)
