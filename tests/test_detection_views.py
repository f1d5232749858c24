"""The padded view: where a photo's pixels go, the way back, and what it is for."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerec import detection
from facerec.detection import finding
from facerec.detection.faces import Faces
from tests import cartoon


@pytest.mark.parametrize(
    ("size", "expected"), [((250, 250), (288, 288)), ((320, 80), (288, 168)), ((40, 80), (208, 288))]
)
def test_the_long_side_becomes_160_with_64_black_pixels_around(size, expected):
    view = finding.pad_photo(np.full((*size, 3), 200, np.uint8))
    assert view.shape == (*expected, 3)
    assert (view[64:-64, 64:-64] == 200).all()
    assert view.sum() == 3 * 200 * (expected[0] - 128) * (expected[1] - 128)


def test_a_thin_photo_keeps_a_pixel():
    assert finding.pad_photo(np.zeros((2, 1000, 3), np.uint8)).shape == (129, 288, 3)


@settings(max_examples=40, deadline=None)
@given(st.integers(60, 300), st.integers(60, 300), st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8)))
def test_a_spot_of_the_view_is_found_again_in_the_photo(height, width, place):
    x, y = place[0] * width, place[1] * height
    rows, columns = np.mgrid[:height, :width]
    radius = max(height, width) / 25
    blob = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2))
    photo = np.repeat(blob.round().astype(np.uint8)[..., None], 3, axis=2)
    weights = finding.pad_photo(photo)[..., 0].astype(float)
    rows, columns = np.mgrid[: weights.shape[0], : weights.shape[1]]
    seen = np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()
    weights = photo[..., 0].astype(float)
    rows, columns = np.mgrid[:height, :width]
    true = np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()
    faces = Faces(np.float32([[*seen, *seen]]), np.float32([[seen] * 5]), np.float32([0.5]))
    back = finding.restore_faces(faces, (height, width))
    np.testing.assert_allclose(back.landmarks[0], [true] * 5, atol=0.02 * radius + 0.02)
    np.testing.assert_array_equal(back.boxes[0], back.landmarks[0, :2].reshape(-1))


def test_a_tightly_cropped_face_is_found_in_the_padded_view():
    image, landmarks = cartoon.photo({"width": 150.0, "centre": (150.0, 150.0)}, height=300, width=300)
    low, high = landmarks[0].min(0).astype(int) - 38, landmarks[0].max(0).astype(int) + 38
    tight = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
    tight = cv2.resize(tight, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    true = (landmarks[0] - low + 0.5) * 3 - 0.5
    detector = detection.build_detector("mtcnn", device="cpu")
    (padded,) = detector.detect([finding.pad_photo(tight)])
    found = finding.restore_faces(padded, tight.shape[:2])
    assert len(found) == 1
    assert np.abs(found.landmarks[0] - true).max() < 0.1 * np.ptp(true[:2, 0])
