"""Drawn faces for benchmarks that need many images as large as those of aligned faces."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from facerec.imaging import images

SIDE = 112


def cartoons(count: int, identities: int) -> Iterator[dict[str, object]]:
    """Rows of a face set: random skin, two eyes and a mouth, and camera noise; 4 to 6 KB each."""
    rng = np.random.default_rng(1)
    for number in range(count):
        soft = cv2.resize(rng.integers(60, 220, (5, 5, 3), np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        for centre in ((38, 52), (74, 52)):
            cv2.circle(soft, centre, int(rng.integers(4, 8)), (30, 30, 40), -1, cv2.LINE_AA)
        cv2.ellipse(soft, (56, 92), (18, int(rng.integers(3, 9))), 0, 0, 360, (150, 50, 60), -1, cv2.LINE_AA)
        face = np.clip(soft + rng.normal(0, 6, soft.shape), 0, 255).astype(np.uint8)
        label = number % identities
        yield {"image": images.encode_jpeg(face), "label": label, "identity": str(label), "source": f"{number}.jpg"}
