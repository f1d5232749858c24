"""Fallbacks: where the face of a photo comes from, tried in order until one has a face that can be cut out.

Photos in which a detector finds nothing are not simply left out: published systems go on with the annotated face, a
lower threshold, or the middle of the photo. Each face records its fallback, in the column `rung` of the face shards.

- detector: faces found in the photo, of `min_score` or more
- retry: the same in its padded view, where the detection table has one (detect.retry)
- low-score: faces found in the photo, below `min_score`
- annotation: the annotated landmarks, or the annotated box
- crop: the largest square in the middle of the photo
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from facerec.core import FacerecError
from facerec.detection import Faces, choose_face
from facerec.imaging import alignment
from facerec.params import Align

FALLBACKS = ("detector", "retry", "low-score", "annotation", "crop")
"""Names of the fallbacks; `facerec.params.Align.fallbacks` says which are tried and in which order."""


class UnusablePhotoError(FacerecError):
    """A photo gives no face; failures are counted by `category` (see facerec.store.failures)."""

    def __init__(self, category: str, reason: str) -> None:
        super().__init__(reason)
        self.category = category


@dataclass(frozen=True)
class PhotoFaces:
    """The detected and the annotated faces of a photo, in its pixels.

    Attributes:
        size: (height, width) of the photo.
        faces: detected in the photo itself.
        retried: detected in its padded view.
        box: (4,), annotated.
        landmarks: (5, 2), annotated.
    """

    size: tuple[int, int]
    faces: Faces
    retried: Faces
    box: NDArray[np.float32] | None = None
    landmarks: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class ChosenFace:
    """A face to cut out: by its landmarks where `turned`, else by its box, else the middle of the photo."""

    fallback: str
    turned: bool
    box: NDArray[np.float32] | None
    landmarks: NDArray[np.float32] | None = None
    score: float | None = None


def choose_faces(photos: Sequence[PhotoFaces], options: Align) -> list[ChosenFace | UnusablePhotoError]:
    """For every photo the face of its first fallback that has one, or why there is none."""
    candidates = [_candidates(photo, options) for photo in photos]
    usable = iter(_usable([face for faces in candidates for face in faces]).tolist())
    return [_first_usable(faces, list(islice(usable, len(faces))), options) for faces in candidates]


def _candidates(photo: PhotoFaces, options: Align) -> list[ChosenFace]:
    """The faces of a photo in the order of the fallbacks."""
    faces = (_find_face(fallback, photo, options) for fallback in options.fallbacks)
    return [face for face in faces if face is not None]


def _first_usable(
    faces: Sequence[ChosenFace], usable: Sequence[bool], options: Align
) -> ChosenFace | UnusablePhotoError:
    if any(usable):
        return faces[usable.index(True)]
    if not faces:
        tried = ", ".join(options.fallbacks)
        return UnusablePhotoError("no-face", f"There is no face (fallbacks tried: {tried}).")
    fallback = faces[0].fallback
    reason = f"The face of the fallback {fallback} cannot be aligned: its points coincide or are not finite."
    return UnusablePhotoError("landmarks", reason)


def _find_face(fallback: str, photo: PhotoFaces, options: Align) -> ChosenFace | None:
    """The face that one fallback gives."""
    least = np.float32(options.min_score)
    by_landmarks = options.crop == "template" and photo.landmarks is not None
    match fallback:
        case "detector":
            return _choose(fallback, photo.faces, photo.faces.scores >= least, photo, options)
        case "retry":
            return _choose(fallback, photo.retried, photo.retried.scores >= least, photo, options)
        case "low-score":
            return _choose(fallback, photo.faces, photo.faces.scores < least, photo, options)
        case "annotation" if by_landmarks or photo.box is not None:
            return ChosenFace(fallback, by_landmarks, photo.box, photo.landmarks)
        case "crop":
            return ChosenFace(fallback, False, None)
    return None


def _usable(faces: Sequence[ChosenFace]) -> NDArray[np.bool_]:
    """Which faces can be cut out (n,): by landmarks with a direction, or a box with an extent."""
    nothing = np.full(10, np.nan)
    points = np.array([nothing if f.landmarks is None else f.landmarks.reshape(10) for f in faces])
    boxes = np.array([(0, 0, 1, 1) if f.box is None else f.box for f in faces]).reshape(-1, 2, 2)
    extent = np.isfinite(boxes).all(axis=(1, 2)) & (boxes[:, 0] < boxes[:, 1]).all(axis=1)
    turned = np.array([face.turned for face in faces], bool)
    return np.where(turned, alignment.usable(points.reshape(-1, 5, 2)), extent)


def _choose(
    fallback: str, faces: Faces, allowed: NDArray[np.bool_], photo: PhotoFaces, options: Align
) -> ChosenFace | None:
    """The face that the rule chooses among those allowed."""
    annotated = photo.box if photo.box is not None else photo.landmarks
    if not allowed.any() or (options.rule == "annotated" and annotated is None):
        return None
    own = faces[allowed]
    index = choose_face(own, photo.size, options.rule, annotated)
    if index is None:
        return None
    turned = options.crop == "template"
    return ChosenFace(fallback, turned, own.boxes[index], own.landmarks[index], float(own.scores[index]))
