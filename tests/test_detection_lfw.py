"""Real photos: 200 of LFW, where FACEREC_MIRROR names a folder that holds lfw-deepfunneled.tgz."""

import tarfile
from itertools import islice

import numpy as np
import pytest

from facerec import detection
from facerec.imaging import alignment, images


@pytest.fixture(scope="module")
def photos(mirror):
    with tarfile.open(mirror / "lfw-deepfunneled.tgz") as archive:
        members = (member for member in archive if member.name.endswith(".jpg"))
        return [images.decode(archive.extractfile(member).read()) for member in islice(members, 200)]


@pytest.mark.slow
def test_mtcnn_finds_the_person_of_nearly_every_photo(photos):
    found = detection.build_detector("mtcnn", min_face=40, device="cpu").detect(photos)
    chosen = [(faces, detection.choose_face(faces, (250, 250))) for faces in found]
    landmarks = np.array([faces.landmarks[face] for faces, face in chosen if face is not None])
    assert len(landmarks) >= 199
    # LFW is centred: the nose is near the middle, eyes above mouth, left of right
    assert np.median(np.linalg.norm(landmarks[:, 2] - (125, 130), axis=1)) < 15
    assert (landmarks[:, 0, 0] < landmarks[:, 1, 0]).all()
    assert (landmarks[:, 3, 0] < landmarks[:, 4, 0]).all()
    assert np.median(alignment.residuals(landmarks)) < 3.5
