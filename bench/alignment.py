"""Alignment against OpenCV's and scikit-image's estimate, and the share of JPEG coding in the stage align.

Estimating: all faces at once against `cv2.estimateAffinePartial2D` and `SimilarityTransform`, face by face. OpenCV
estimates robustly (least median of squares), so equality is checked on landmarks that fit exactly, and the time taken
on others. Whole step: estimate and warp. All
sides run in one thread on the same 250x250 photos (LFW where FACEREC_MIRROR names a folder with it, else smooth
noise), and their results are compared before they are timed. The share of JPEG is that of decoding and encoding in the
whole of `aligning.align_set`, from photo shards and detections to face shards, in one process.

scikit-image is not a dependency of the project; run this in an environment that has it.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _timing import absent, report, side_by_side

from facerec import aligning
from facerec.detection import table
from facerec.imaging import alignment, images
from facerec.store import shard_writing, shards

PHOTOS = 500


def main() -> None:
    cv2.setNumThreads(1)
    encoded = photos()
    landmarks = places(len(encoded))
    decoded = [images.decode(data) for data in encoded]
    compare_with_opencv(decoded, landmarks)
    jpeg_share(encoded, landmarks)
    try:
        from skimage import transform
    except ImportError:
        absent("scikit-image is not installed, so nothing was compared with it.")
    compare(decoded, landmarks, transform)


def photos() -> list[bytes]:
    """Encoded photos of 250x250."""
    archive = Path(os.environ.get("FACEREC_MIRROR", ""), "lfw-deepfunneled.tgz")
    if archive.is_file():
        with tarfile.open(archive) as members:
            named = (member for member in members if member.name.endswith(".jpg"))
            return [members.extractfile(member).read() for member in islice(named, PHOTOS)]
    rng = np.random.default_rng(1)
    noise = (rng.integers(0, 256, (250, 250, 3), np.uint8) for _ in range(PHOTOS))
    return [images.encode_jpeg(cv2.GaussianBlur(image, (0, 0), 1.5), 95) for image in noise]


def places(count: int, noise: float = 1.5) -> np.ndarray:
    """Landmarks (n, 5, 2) float32 of faces with the sizes and poses of LFW, with `noise` in pixels."""
    rng = np.random.default_rng(2)
    angle, scale = rng.normal(0, 0.15, count), rng.normal(0.85, 0.05, count)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], 1).reshape(-1, 2, 2)
    centred = alignment.TEMPLATE - alignment.TEMPLATE.mean(0)
    points = np.einsum("n,nij,kj->nki", scale, turn, centred) + (125, 130)
    return (points + rng.normal(0, noise, points.shape)).astype(np.float32)


def compare_with_opencv(decoded: list[np.ndarray], landmarks: np.ndarray) -> None:
    target = alignment.template()

    def estimates(points: np.ndarray) -> list[np.ndarray]:
        return [cv2.estimateAffinePartial2D(each, target, method=cv2.LMEDS)[0] for each in points]

    def step(matrices: Any) -> list[np.ndarray]:
        return [cv2.warpAffine(photo, matrix, (112, 112)) for photo, matrix in zip(decoded, matrices, strict=True)]

    exact = places(len(landmarks), noise=0)
    off = np.abs(np.array(estimates(exact)) - alignment.similarity(exact)).max()
    print(f"largest difference of a matrix entry from OpenCV's, where landmarks fit exactly: {off:.1e}")
    assert off < 1e-3
    matrices = alignment.similarity(landmarks)
    warped = [alignment.warp(photo, matrix) for photo, matrix in zip(decoded, matrices, strict=True)]
    assert all(np.array_equal(*both) for both in zip(warped, step(matrices), strict=True))
    sides = {
        "ours": lambda: [alignment.similarity(landmarks) for _ in range(10)],
        "OpenCV": lambda: estimates(landmarks),
        "our step": lambda: [
            alignment.warp(*both) for both in zip(decoded, alignment.similarity(landmarks), strict=True)
        ],
        "OpenCV's step": lambda: step(estimates(landmarks)),
    }
    taken = side_by_side(sides, repeats=5)
    what = f"{len(landmarks)} faces"
    tenfold = [10 * ratio for ratio in taken.ratios("OpenCV", "ours")]
    report(f"landmarks to matrices, {what}, batched", "cv2.estimateAffinePartial2D, face by face", tenfold)
    report(f"estimate and warp, {what}", "the same by OpenCV", taken.ratios("OpenCV's step", "our step"))


def compare(decoded: list[np.ndarray], landmarks: np.ndarray, transform: Any) -> None:
    target, faces = alignment.template(), len(landmarks)

    def peer_matrix(points: np.ndarray) -> np.ndarray:
        return transform.SimilarityTransform.from_estimate(points.astype(np.float64), target).params

    def peer_estimates() -> np.ndarray:
        return np.array([peer_matrix(points) for points in landmarks])

    def our_step() -> list[np.ndarray]:
        matrices = alignment.similarity(landmarks)
        return [alignment.warp(photo, matrix) for photo, matrix in zip(decoded, matrices, strict=True)]

    def peer_step() -> list[np.ndarray]:
        return [
            transform.warp(photo, np.linalg.inv(peer_matrix(points)), output_shape=(112, 112), preserve_range=True)
            for photo, points in zip(decoded, landmarks, strict=True)
        ]

    theirs, crops = peer_estimates()[:, :2], our_step()
    print(f"largest difference of a matrix entry: {np.abs(theirs - alignment.similarity(landmarks)).max():.1e}")
    np.testing.assert_allclose(theirs, alignment.similarity(landmarks), rtol=0, atol=1e-9)
    own = [cv2.warpAffine(photo, matrix, (112, 112)) for photo, matrix in zip(decoded, theirs, strict=True)]
    equal = sum(np.array_equal(crop, other) for crop, other in zip(crops, own, strict=True))
    print(f"crops equal, byte for byte, to cv2.warpAffine with scikit-image's matrix: {equal} of {faces}")
    assert equal == faces
    off = max(np.abs(crop - other).mean() for crop, other in zip(crops, peer_step(), strict=True))
    print(f"largest mean difference of a crop from scikit-image's: {off:.2f} of 255\n")
    assert off < 2
    times = side_by_side({"ours": lambda: alignment.similarity(landmarks), "peer": peer_estimates})
    what = f"landmarks to matrices, {faces} faces, batched"
    report(what, "scikit-image's estimate, face by face", times.ratios("peer", "ours"), aim="200")
    times = side_by_side({"ours": our_step, "peer": peer_step}, repeats=5)
    report(f"estimate and warp, {faces} faces", "scikit-image", times.ratios("peer", "ours"), aim="20")


def jpeg_share(encoded: list[bytes], landmarks: np.ndarray) -> None:
    """The share of `aligning.align_set` that decoding and encoding take."""
    spent = 0.0

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            nonlocal spent
            start = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                spent += time.perf_counter() - start

        return run

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["FACEREC_SCRATCH"] = str(folder / "scratch")
        write(folder, encoded, landmarks)
        images.decode, images.encode_jpeg = timed(images.decode), timed(images.encode_jpeg)
        shares = []
        for _ in range(6):
            spent, start = 0.0, time.perf_counter()
            aligning.align_set(folder / "photos", folder / "found.parquet", folder / "faces", workers=1)
            shares.append((spent / (time.perf_counter() - start), time.perf_counter() - start))
    share, seconds = sorted(shares[1:])[2]
    print(f"\naligning.align_set: {len(encoded) / seconds:,.0f} photos/s, {share:.0%} of it JPEG   (aim 60%)")


def write(folder: Path, encoded: list[bytes], landmarks: np.ndarray) -> None:
    """Photo shards and their detection table."""
    rows, found = [], []
    for number, (data, points) in enumerate(zip(encoded, landmarks, strict=True)):
        source = f"{number:04d}.jpg"
        rows.append({"image": data, "label": -1, "identity": "", "source": source})
        box = [*(points.min(0) - 20), *(points.max(0) + 20)]
        own = {"photo": number, "source": source, "view": 0, "face": 0, "box": box, "score": 0.99}
        size = {"width": 250, "height": 250, "error": ""}
        found.append({**own, "landmarks": points.reshape(-1).tolist(), **size})
    shard_writing.write_shards(rows, folder / "photos", shards.Meta("photos", "bench"))
    pq.write_table(pa.Table.from_pylist(found, table.SCHEMA), folder / "found.parquet")


if __name__ == "__main__":
    main()
