"""Batches of faces from shards (`facerec.store.face_dataset`) against OpenCV's decoder alone, on as many threads.

Shows the cost of the loader besides decoding: finding an image, refusing damaged ones, checking the size, making a
batch. The decoder gets the same JPEGs as bytes in memory, in the same order, and drops the pixels. The aim is 90 % of
its rate. That both give equal pixels is checked first.
"""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from _faces import SIDE, cartoons
from _timing import absent, report, side_by_side

from facerec.store import shard_writing, shards
from facerec.store.face_dataset import FaceDataset

FACES, BATCH = 4096, 128


def main() -> None:
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "set")
        shard_writing.write_shards(
            cartoons(FACES, FACES), path, shards.Meta("faces", "cartoons", size=(SIDE, SIDE), template="arcface-112")
        )
        found = shards.read_shards(path)
        order = np.random.default_rng(2).permutation(FACES).reshape(-1, BATCH)
        stored = [bytes(found.image(number)) for number in range(FACES)]
        print(f"{sum(map(len, stored)) / FACES / 1000:.1f} KB an image, {SIDE}x{SIDE}, batches of {BATCH}")
        compare(FaceDataset([found]), stored, order)


def compare(faces: FaceDataset, stored: list[bytes], order: np.ndarray) -> None:
    for indices, batch in zip(order, faces.batches(order), strict=True):
        for number, image in zip(indices, batch, strict=True):
            assert (image == decode(stored[number])).all()
    for threads in sorted({1, len(os.sched_getaffinity(0))}):
        os.environ["FACEREC_WORKERS"] = str(threads)
        sides = {"ours": lambda: load(faces, order), "peer": lambda n=threads: decode_all(stored, order, n)}
        seconds = side_by_side(sides)
        what = f"batches of {FACES:,} faces from shards, {threads} thread{'s' * (threads > 1)}"
        report(what, "OpenCV's decoding alone", seconds.ratios("peer", "ours"), "times its rate", "0.9")
    compare_with_simplejpeg(faces, stored, order)


def compare_with_simplejpeg(faces: FaceDataset, stored: list[bytes], order: np.ndarray) -> None:
    try:
        import simplejpeg
    except ImportError:
        absent("simplejpeg is not installed, so nothing was compared with it.")
    for data in stored[:100]:
        assert (
            np.abs(decode(data).astype(int) - simplejpeg.decode_jpeg(data)).mean() < 1
        )  # it may scale colours otherwise
    os.environ["FACEREC_WORKERS"] = "1"
    sides = {
        "ours": lambda: load(faces, order),
        "peer": lambda: [simplejpeg.decode_jpeg(stored[number]) for number in order.ravel()],
    }
    ratios = side_by_side(sides).ratios("peer", "ours")
    report(f"batches of {FACES:,} faces from shards, 1 thread", "simplejpeg's decoding alone", ratios, "times its rate")


def load(faces: FaceDataset, order: np.ndarray) -> None:
    for _ in faces.batches(order):
        pass


def decode_all(stored: list[bytes], order: np.ndarray, threads: int) -> None:
    """Decode batch after batch on a pool of `threads` and drop the pixels."""
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda indices: decode_batch(stored, indices), order):
            pass


def decode_batch(stored: list[bytes], indices: np.ndarray) -> None:
    for number in indices:
        decode(stored[number])


def decode(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


if __name__ == "__main__":
    main()
