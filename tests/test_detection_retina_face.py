"""The package retina-face behind our interface: order of the landmarks, what it leaves alone, wrong weights."""

import os
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from facerec import detection
from facerec.core import FormatError, ParamsError


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Untrained weights of the package's own network."""
    filters, environment = list(warnings.filters), dict(os.environ)
    path = tmp_path_factory.mktemp("weights") / "retinaface.pth"
    with pytest.raises(FormatError, match="does not exist; download the weights"):
        detection.build_detector("retina-face", weights=path)
    assert warnings.filters == filters
    assert dict(os.environ) == environment

    from retinaface.model import retinaface_pth_model

    torch.manual_seed(3)
    torch.save(retinaface_pth_model.RetinaFace().state_dict(), path)
    return path


@pytest.fixture(scope="module")
def detector(weights):
    return detection.build_detector("retina-face", weights=weights, device="cpu", upscale=False)


def test_its_person_left_is_our_image_right(detector, monkeypatch):
    seen = []

    def detect_faces(image, **options):
        seen.append((image, options))
        points = {
            "left_eye": [70.0, 40.0], "right_eye": [30.0, 41.0], "nose": [50.0, 60.0],
            "mouth_left": [65.0, 80.0], "mouth_right": [35.0, 81.0],
        }  # fmt: skip
        low = {"score": 0.91, "facial_area": [1, 2, 3, 4], "landmarks": points}
        return {"face_1": low, "face_2": {**low, "score": 0.99, "facial_area": [10, 20, 90, 100]}}

    monkeypatch.setattr(detector, "_package", SimpleNamespace(detect_faces=detect_faces))
    red = np.zeros((100, 100, 3), np.uint8)
    red[..., 0] = 255
    (faces,) = detector.detect([red])
    assert faces.boxes.tolist() == [[10, 20, 90, 100], [1, 2, 3, 4]]
    assert faces.landmarks[0].tolist() == [[30, 41], [70, 40], [50, 60], [35, 81], [65, 80]]
    assert seen[0][0][0, 0].tolist() == [0, 0, 255]  # it takes BGR
    assert seen[0][1]["threshold"] == 0.9
    assert seen[0][1]["allow_upscaling"] is False


def test_the_package_runs_on_photos_of_any_size(detector):
    photos = [np.full((size, 40, 3), 120, np.uint8) for size in (1, 33, 64)]
    for photo, faces in zip(photos, detector.detect(photos), strict=True):
        assert faces.landmarks.shape == (len(faces), 5, 2)
        np.testing.assert_array_equal(faces.boxes, detector.detect([photo])[0].boxes)


def test_impossible_options_are_refused(weights):
    with pytest.raises(ParamsError, match="between 0 and 1"):
        detection.build_detector("retina-face", weights=weights, threshold=1.0)
    with pytest.raises(ParamsError, match="does not take"):
        detection.build_detector("retina-face", weights=weights, min_face=20)
