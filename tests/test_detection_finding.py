"""Large photos are looked at smaller, and what was found is given in their own pixels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from facerec.detection import finding
from facerec.detection.faces import Faces


class Spot:
    """Finds the bounds of what is bright, as box and as landmarks."""

    name = "spot"

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def detect(self, images: Sequence[np.ndarray]) -> list[Faces]:
        self.seen += [image.shape[:2] for image in images]
        return [self._look(image) for image in images]

    def _look(self, image: np.ndarray) -> Faces:
        rows, columns = np.nonzero(image[..., 1] > 128)
        centre = [columns.mean(), rows.mean()]
        box = [columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5]
        return Faces(np.array([box], np.float32), np.array([[centre] * 5], np.float32), np.ones(1, np.float32))


def photo(height: int, width: int) -> bytes:
    image = np.zeros((height, width, 3), np.uint8)
    image[24:48, 36:72] = 255
    return bytes(cv2.imencode(".png", image)[1])


@pytest.mark.parametrize(
    ("size", "limit", "seen"),
    [((100, 120), 12_000, (100, 120)), ((100, 121), 4_000, (50, 60)), ((97, 121), 1_400, (32, 40))],
)
def test_what_is_found_in_a_reduced_photo_is_in_its_own_pixels(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], limit: int, seen: tuple[int, int]
) -> None:
    monkeypatch.setattr(finding, "LOOKED_AT", limit)
    spot = Spot()
    (found,) = finding.find_faces(spot, [photo(*size)])
    assert spot.seen == [seen]
    assert found.size == size
    np.testing.assert_allclose(found.faces.boxes, [[35.5, 23.5, 71.5, 47.5]])
    np.testing.assert_allclose(found.faces.landmarks[0, 0], [53.5, 35.5])


def test_order_and_reasons_survive_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "_DECODED", 20_000)
    data = [photo(90 + number, 100) if number % 3 else b"" for number in range(12)]
    found = list(finding.find_faces(Spot(), data))
    assert [each.size[0] for each in found] == [90 + number if number % 3 else 0 for number in range(12)]
    assert [each.error for each in found] == ["" if number % 3 else "The file is empty." for number in range(12)]
