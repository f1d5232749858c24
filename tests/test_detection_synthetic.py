"""MTCNN against the known landmarks of rendered people, the photos of the default experiment."""

import numpy as np
import pytest

from facerec import detection
from synthfaces import render, sampling

COUNT = 4


@pytest.fixture(scope="module")
def people():
    taken = []
    for number in range(COUNT):
        rng = sampling.stream(1, "detection", number)
        person = sampling.sample_identity(f"person {number}", rng)
        taken.append(
            render.render_photo(person, sampling.sample_shot(person, rng, sampling.CaptureConfig(occlusion=0.0)))
        )
    return taken


def test_mtcnn_finds_rendered_people_and_their_landmarks(people):
    found = detection.build_detector("mtcnn", min_face=40, device="cpu").detect([taken.image for taken in people])
    assert [len(faces) for faces in found] == [1] * COUNT
    landmarks = np.array([faces.landmarks[0] for faces in found])
    truth = np.array([taken.landmarks for taken in people])
    between_eyes = np.linalg.norm(truth[:, 1] - truth[:, 0], axis=1)
    errors = np.linalg.norm(landmarks - truth, axis=2) / between_eyes[:, None]
    assert np.median(errors) < 0.1
    assert errors.mean(axis=1).max() < 0.2
    for x, y in [(0, 1), (3, 4)]:
        assert (landmarks[:, x, 0] < landmarks[:, y, 0]).all()
