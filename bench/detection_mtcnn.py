"""Our MTCNN against facenet-pytorch 2.6.0 on photos of LFW: do they agree, and which is faster on one CPU core?

Same thresholds, min_face 20, factor .709; the peer gets batches of 16, which are faster for it. Photos come from the
folder FACEREC_MIRROR. Run it with a Python that has the packages of this project and, installed with
--no-deps since it pins old versions, facenet-pytorch 2.6.0.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from _photos import lfw
from _timing import absent, report, side_by_side

from facerec import detection
from facerec.detection import boxes as geometry
from facerec.detection.faces import Faces

try:
    from facenet_pytorch import MTCNN
except ImportError:
    absent("facenet-pytorch 2.6.0 is not installed, so there is nothing to compare with.")

PHOTOS, TIMED, BATCH = 500, 100, 16


def peer_faces(peer: Any, photos: list[Any]) -> list[Faces]:
    """The faces that facenet-pytorch finds, as our `Faces`."""
    found = []
    for start in range(0, len(photos), BATCH):
        for boxes, scores, points in zip(*peer.detect(photos[start : start + BATCH], landmarks=True), strict=True):
            arrays = ([], [], []) if boxes is None else (boxes, points, scores)
            b, p, s = (np.array(array, np.float32) for array in arrays)
            found.append(Faces(b.reshape(-1, 4), p.reshape(-1, 5, 2), s))
    return found


def kept(faces: Faces, size: tuple[int, int]) -> tuple[Any, Any] | None:
    """Box (1, 4) and landmarks (5, 2) of the centred face."""
    index = detection.choose_face(faces, size)
    return None if index is None else (faces.boxes[[index]].astype(float), faces.landmarks[index])


def main() -> None:
    """Compare, then time."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    photos = lfw(PHOTOS)
    ours = detection.build_detector("mtcnn", device="cpu")
    peer = MTCNN(keep_all=True, device="cpu", min_face_size=20, selection_method="probability")
    pairs = []
    for photo, a, b in zip(photos, ours.detect(photos), peer_faces(peer, photos), strict=True):
        mine, theirs = kept(a, photo.shape[:2]), kept(b, photo.shape[:2])
        if mine and theirs:
            overlap = geometry.box_iou(mine[0], theirs[0])[0, 0]
            pairs.append((overlap, np.linalg.norm(mine[1] - theirs[1], axis=1).max()))
        elif mine or theirs:
            pairs.append((0.0, np.inf))
    overlaps, errors = np.array(pairs).T
    agree = (overlaps >= 0.95) & (errors <= 1)
    print(f"{len(pairs)} kept faces of {len(photos)} photos: {agree.mean():.1%} agree (IoU >= .95, landmarks in 1 px)")
    print(f"landmark difference: median {np.median(errors):.3f} px, 99th percentile {np.quantile(errors, 0.99):.2f} px")
    assert agree.mean() > 0.98
    sides = {"ours": lambda: ours.detect(photos[:TIMED]), "peer": lambda: peer_faces(peer, photos[:TIMED])}
    ratios = side_by_side(sides, repeats=5).ratios("peer", "ours")
    report(f"MTCNN, {TIMED} photos of LFW, one thread", "facenet-pytorch 2.6.0, same thresholds", ratios, aim="1")


if __name__ == "__main__":
    main()
