"""The cost of common mistakes on LFW: one network with its published preprocessing, and with usual errors in it.

Needs FACEREC_MIRROR with LFW, its pairs, the weights of RetinaFace and of foamliu's MobileFaceNet (see docs/benchmarks.md),
and some hours of one core the first time; detections are kept in .facerec/mistakes. Prints the table of
docs/troubleshooting.md: accuracy on the 6,000 pairs by protocol insightface, and the difference from the first row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec import aligning, embedding
from facerec.catalog import entries
from facerec.catalog.sets import acquire
from facerec.core import track
from facerec.detection import table
from facerec.embedding import Embedder
from facerec.evaluation import verification
from facerec.interop import pair_lists
from facerec.params import Align
from facerec.store import shards
from facerec.store.embeddings import Embeddings
from facerec.store.face_dataset import FaceDataset
from facerec.store.model_metadata import Preprocessing

WORK = Path(".facerec/mistakes")
Images = NDArray[np.uint8]


def main() -> None:
    for name in ("lfw", "mobilefacenet_foamliu_pt", "retinaface_mnet025"):
        if not (WORK / name).is_dir():
            acquire(entries.load_entry(name), WORK / name)
    found = WORK / "detections.parquet"
    if not found.is_file():
        weights = str(WORK / "retinaface_mnet025/retinaface_mobilenet0.25.pth")
        table.detect_set(WORK / "lfw", found, "retinaface-mnet0.25", {"weights": weights})
    plain = embedding.load_embedder(WORK / "mobilefacenet_foamliu_pt")
    faces = aligned("faces", Align())
    right = judged(plain, faces)
    print(f"{'as published':58} {100 * right:6.2f}")
    for mistake, accuracy in mistakes(plain, faces):
        print(f"{mistake:58} {100 * accuracy:6.2f}  {100 * (accuracy - right):+6.2f}", flush=True)


def mistakes(plain: Embedder, faces: shards.Shards) -> Iterator[tuple[str, float]]:
    """Each mistake with its accuracy."""
    yield "one crop instead of f(x) + f(flip x)", judged(fed(plain, flip="none"), faces)
    yield "red and blue swapped", judged(fed(plain, colour="BGR"), faces)
    yield (
        "(x - 127.5) / 127.5 in place of ImageNet's mean and std",
        judged(fed(plain, mean=(127.5,) * 3, std=(127.5,) * 3), faces),
    )
    yield "pixels in 0..1, no mean", judged(fed(plain, mean=(0.0,) * 3, std=(255.0,) * 3), faces)
    yield ("the largest face, not the most central", judged(plain, aligned("largest", Align(rule="largest"))))
    yield ("the surest face, not the most central", judged(plain, aligned("best", Align(rule="best-score"))))
    yield ("the detector's box cut out, not aligned", judged(plain, aligned("box", Align(crop="box", margin=0.04))))
    yield "shifted by four pixels", judged(plain, faces, change=lambda images: np.roll(images, 4, axis=2))
    yield "protocol concat-mean", judged(fed(plain, flip="concat"), faces, protocol="concat-mean")


def fed(embedder: Embedder, **changes: object) -> Embedder:
    """The same network with other preprocessing."""
    changed = replace(embedder.preprocessing, **changes)  # type: ignore[arg-type]
    assert isinstance(changed, Preprocessing)
    return replace(embedder, preprocessing=changed)


def aligned(name: str, options: Align) -> shards.Shards:
    if not (WORK / name).is_dir():
        aligning.align_set(WORK / "lfw", WORK / "detections.parquet", WORK / name, options)
    return shards.read_shards(WORK / name, "faces")


def judged(
    embedder: Embedder,
    faces: shards.Shards,
    change: Callable[[Images], Images] = lambda images: images,
    protocol: str = "insightface",
) -> float:
    """Accuracy of the network on a face set."""
    order = [np.arange(start, min(start + 64, len(faces))) for start in range(0, len(faces), 64)]
    batches = track(
        FaceDataset([faces], embedder.preprocessing.size).batches(order), "embedding", len(order), "batches"
    )
    rows = np.concatenate([embedder.embed(change(images)) for images in batches])
    listed = pair_lists.read_pairs(WORK / "lfw/pairs.txt", faces.sources)
    embedded = Embeddings(rows, faces.sources, faces.identities)
    return verification.evaluate(listed.interleave(embedded.matrix), listed.same, protocol).accuracy


if __name__ == "__main__":
    main()
