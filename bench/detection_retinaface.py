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
from _timing import side_by_side

from facerec import detection
from facerec.detection import retinaface

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

    def batched() -> None:  # as on a device that takes many photos at once
        with torch.inference_mode():
            for start in range(0, PHOTOS, 8):
                for likely in detector._detect(photos[start : start + 8]).values():
                    detector._faces(likely, np.ones(2))

    sides = {
        "bare network, photo by photo": lambda: run(network, one),
        "detect, photo by photo": lambda: detector.detect(photos),
        "bare network, 8 photos at a time": lambda: run(network, eight),
        "detect, 8 photos at a time": batched,
        "bare network in bfloat16, 8 at a time": lambda: run(halved, eight),
    }
    seconds = side_by_side(sides, repeats=5)
    for name, value in seconds.items():
        print(f"{name:40} {value / PHOTOS * 1e3:7.2f} ms a photo")
    for way in ("photo by photo", "8 photos at a time"):
        ratio = seconds[f"detect, {way}"] / seconds[f"bare network, {way}"]
        print(f"detect over bare network, {way:20} {ratio:.3f} (aim 1.25 or less)")
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
