"""retinaface-mnet0.25 on one CPU core: network and post-processing against the bare network, alone and batched.

The bare network gets prepared input tensors, and its outputs are not used. Photos and weights come from
the folder FACEREC_MIRROR.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from _photos import lfw, mirror
from _timing import report, side_by_side

from facerec import detection
from facerec.detection import retinaface
from facerec.detection.faces import Faces

PHOTOS = 64


def main() -> None:
    """Time photos one by one and 8 at a time."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    photos = lfw(PHOTOS)
    weights = mirror() / "weights" / "retinaface_mobilenet0.25.pth"
    detector = detection.build_detector("retinaface-mnet0.25", weights=weights, device="cpu")
    assert isinstance(detector, retinaface.RetinaFaceMobile)
    one = [detector._tensor([photo]) for photo in photos]
    eight = [detector._tensor(photos[start : start + 8]) for start in range(0, PHOTOS, 8)]
    network = torch.inference_mode()(detector._network)
    halved = torch.autocast("cpu", torch.bfloat16)(network)

    def run(call: Callable[[torch.Tensor], object], inputs: list[torch.Tensor]) -> None:
        for x in inputs:
            call(x)

    def batched() -> list[Faces]:  # as on a device that takes many photos at once
        faces, anchors = [], retinaface.priors(*photos[0].shape[:2])
        for x in (detector._tensor(photos[start : start + 8]) for start in range(0, PHOTOS, 8)):
            for boxes, scores, points in zip(*(output.numpy() for output in network(x)), strict=True):
                likely = retinaface._decoded(anchors, boxes, scores, points, detector.threshold)
                faces.append(detector._faces(likely, np.ones(2)))
        return faces

    for alone, together in zip(detector.detect(photos), batched(), strict=True):
        np.testing.assert_allclose(alone.landmarks, together.landmarks, atol=0.02)

    sides = {
        "bare network, photo by photo": lambda: run(network, one),
        "detect, photo by photo": lambda: detector.detect(photos),
        "bare network, 8 photos at a time": lambda: run(network, eight),
        "detect, 8 photos at a time": batched,
        "bare network in bfloat16, 8 at a time": lambda: run(halved, eight),
    }
    seconds = side_by_side(sides, repeats=5)
    for name in sides:
        print(f"{name:40} {seconds[name] / PHOTOS * 1e3:7.2f} ms a photo")
    for way in ("photo by photo", "8 photos at a time"):
        ratios = seconds.ratios(f"detect, {way}", f"bare network, {way}")
        what = f"RetinaFace mobilenet0.25 with pre- and post-processing, {PHOTOS} photos, {way}"
        report(what, "its bare network", ratios, "of the CPU time", "at most 1.25")
    cache = retinaface.priors.cache_info()
    print(f"priors made {cache.misses} time(s), taken from the cache {cache.hits} times")
    print(f"bfloat16 moves landmarks by up to {moved(network, halved, eight):.2f} px")


def moved(network: Any, halved: Any, inputs: list[torch.Tensor]) -> float:
    """Largest difference in pixels between landmark coordinates from both networks, where there is a face."""
    sides = torch.from_numpy(retinaface.priors(*inputs[0].shape[2:])[:, 2:])
    largest = 0.0
    for x in inputs:
        _, scores, points = network(x)
        distance = (points - halved(x)[2].float()).abs() * 0.1 * sides
        largest = max(largest, float(distance[scores > 0.9].max()))
    return largest


if __name__ == "__main__":
    main()
