"""Landmark error of each detector on rendered people, whose true landmarks are known, by yaw.

Prints a Markdown table of the median and 95th percentile of the distance to the truth as a share of the distance
between the eyes seen from the front, over all landmarks. retinaface-mnet0.25 needs its weights from the
folder FACEREC_MIRROR. The true landmarks are those of the head model: pupils, tip of the nose, corners of the mouth.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facerec import detection
from synthfaces import render
from synthfaces.sampling import CaptureConfig, sample_identity, sample_shot, stream

PHOTOS = 300
BINS = ((0, 15), (15, 30), (30, 45), (45, 60), (60, 75))


def people() -> tuple[list[Any], list[float]]:
    """Photos of 250 x 250, each of a different person, and their absolute yaw, spread over all bins."""
    taken, yaws = [], []
    for number in range(PHOTOS):
        rng = stream(1, "landmarks", number)
        person = sample_identity(f"person {number}", rng)
        yaw = float(rng.uniform(-75, 75))
        shot = sample_shot(person, rng, CaptureConfig(occlusion=0.0), yaw=yaw)
        taken.append(render.render_photo(person, shot))
        yaws.append(abs(yaw))
    return taken, yaws


def errors(detector: detection.Detector, taken: list[Any], yaws: list[float]) -> list[Any]:
    """For each photo the errors (5,) of the face nearest the truth, None without a nose near it."""
    found = detector.detect([one.image for one in taken])
    result: list[Any] = []
    for faces, one, yaw in zip(found, taken, yaws, strict=True):
        eyes = np.linalg.norm(one.landmarks[1] - one.landmarks[0]) / max(np.cos(np.radians(yaw)), 0.2)
        share = np.linalg.norm(faces.landmarks - one.landmarks, axis=2) / eyes
        nearest = share[share.mean(axis=1).argmin()] if len(faces) else np.full(5, np.inf)
        result.append(nearest if nearest.mean() < 0.5 else None)
    return result


def main() -> None:
    """Print a row for each detector and bin."""
    torch.set_num_threads(1)
    taken, yaws = people()
    options: dict[str, dict[str, Any]] = {"mtcnn": {}}
    weights = Path(os.environ.get("FACEREC_MIRROR", "")) / "weights" / "retinaface_mobilenet0.25.pth"
    if weights.is_file():
        options["retinaface-mnet0.25"] = {"weights": weights}
    else:
        print("FACEREC_MIRROR names no folder with weights/retinaface_mobilenet0.25.pth: mtcnn alone.")
    print("| detector | yaw | photos | not found | median | 95th percentile |\n|---|---|---|---|---|---|")
    for name, settings in options.items():
        found = errors(detection.build_detector(name, device="cpu", **settings), taken, yaws)
        for low, high in BINS:
            own = [error for error, yaw in zip(found, yaws, strict=True) if low <= yaw < high]
            hit = np.concatenate([error for error in own if error is not None] or [np.full(1, np.nan)])
            missed = sum(error is None for error in own)
            row = f"| {name} | {low}-{high} | {len(own)} | {missed} "
            print(f"{row}| {np.median(hit):.3f} | {np.quantile(hit, 0.95):.3f} |")


if __name__ == "__main__":
    main()
