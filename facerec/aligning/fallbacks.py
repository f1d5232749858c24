"""Where the face of a photo comes from: rungs tried in order until one has a face that can be cut out.

Photos for which a detector finds nothing are not dropped in silence: published systems go on with what is
annotated, with a lower threshold, or with the middle of the photo. Each face remembers its rung.

- detector: faces found in the photo, of `min_score` or more
- retry: the same in its padded view, where the detection table has one (detect.retry)
- low-score: faces found in the photo, below `min_score`
- annotation: the annotated landmarks, or the annotated box
- crop: the centred square of the photo
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.aligning.options import AlignOptions
from facerec.core import FacerecError
from facerec.detection import Faces, choose_face
from facerec.imaging import alignment


class UnusablePhotoError(FacerecError):
    """A photo gives no face; `category` is a word to count by (see formats.failures)."""

    def __init__(self, category: str, reason: str) -> None:
        super().__init__(reason)
        self.category = category


class _UnusableError(UnusablePhotoError):
    def __init__(self, rung: str) -> None:
        super().__init__(
            "landmarks",
            f"The face of the rung {rung} cannot be aligned: its points coincide or are not finite.",
        )


@dataclass(frozen=True)
class PhotoFaces:
    """What is known of a photo; boxes (4,), landmarks (5, 2) in its pixels."""

    size: tuple[int, int]
    """Height and width."""
    faces: Faces
    retried: Faces
    """Faces found in its padded view."""
    box: NDArray[np.float32] | None = None
    """Annotated."""
    landmarks: NDArray[np.float32] | None = None
    """Annotated."""


@dataclass(frozen=True)
class ChosenFace:
    """A face to cut out: by its landmarks where `turned`, else by its box."""

    rung: str
    turned: bool
    box: NDArray[np.float32] | None
    landmarks: NDArray[np.float32] | None = None
    score: float | None = None


def choose_faces(
    photos: Sequence[PhotoFaces], options: AlignOptions
) -> list[ChosenFace | UnusablePhotoError]:
    """For every photo the face of its first rung that has one, or why there is none."""
    searches = [_candidates(photo, options) for photo in photos]
    found: list[ChosenFace | UnusablePhotoError] = [_nobody(options)] * len(photos)
    open_ones = list(range(len(photos)))
    while open_ones:  # once a rung at most; nearly all photos are settled the first time
        candidates = [(number, next(searches[number], None)) for number in open_ones]
        faces = [(number, face) for number, face in candidates if face is not None]
        usable = _usable([face for _, face in faces])
        for (number, face), fine in zip(faces, usable, strict=True):
            if fine:
                found[number] = face
            elif not isinstance(found[number], _UnusableError):
                found[number] = _UnusableError(face.rung)
        open_ones = [number for (number, _), fine in zip(faces, usable, strict=True) if not fine]
    return found


def _candidates(photo: PhotoFaces, options: AlignOptions) -> Iterator[ChosenFace]:
    for rung in options.rungs:
        face = _FINDERS[rung](rung, photo, options)
        if face is not None:
            yield face


def _nobody(options: AlignOptions) -> UnusablePhotoError:
    return UnusablePhotoError("no-face", f"There is no face (rungs tried: {', '.join(options.rungs)}).")


def _usable(faces: Sequence[ChosenFace]) -> NDArray[np.bool_]:
    """Which faces can be cut out (n,): by landmarks with a direction, or a box with an extent."""
    nothing = np.full(10, np.nan)
    points = np.array([nothing if f.landmarks is None else f.landmarks.reshape(10) for f in faces])
    boxes = np.array([(0, 0, 1, 1) if f.box is None else f.box for f in faces]).reshape(-1, 2, 2)
    extent = np.isfinite(boxes).all(axis=(1, 2)) & (boxes[:, 0] < boxes[:, 1]).all(axis=1)
    turned = np.array([face.turned for face in faces], bool)
    return np.where(turned, alignment.usable(points.reshape(-1, 5, 2)), extent)


def _detector(rung: str, photo: PhotoFaces, options: AlignOptions) -> ChosenFace | None:
    return _chosen(rung, photo.faces, photo.faces.scores >= np.float32(options.min_score), photo, options)


def _retry(rung: str, photo: PhotoFaces, options: AlignOptions) -> ChosenFace | None:
    return _chosen(rung, photo.retried, photo.retried.scores >= np.float32(options.min_score), photo, options)


def _low_score(rung: str, photo: PhotoFaces, options: AlignOptions) -> ChosenFace | None:
    return _chosen(rung, photo.faces, photo.faces.scores < np.float32(options.min_score), photo, options)


def _chosen(
    rung: str, faces: Faces, allowed: NDArray[np.bool_], photo: PhotoFaces, options: AlignOptions
) -> ChosenFace | None:
    """The face that the rule chooses among those allowed."""
    annotated = photo.box if photo.box is not None else photo.landmarks
    if not allowed.any() or (options.rule == "annotated" and annotated is None):
        return None
    own = Faces(faces.boxes[allowed], faces.landmarks[allowed], faces.scores[allowed])
    index = choose_face(own, photo.size, options.rule, annotated)
    if index is None:
        return None
    turned = options.crop == "template"
    return ChosenFace(rung, turned, own.boxes[index], own.landmarks[index], float(own.scores[index]))


def _annotation(rung: str, photo: PhotoFaces, options: AlignOptions) -> ChosenFace | None:
    turned = options.crop == "template" and photo.landmarks is not None
    if not turned and photo.box is None:
        return None
    return ChosenFace(rung, turned, photo.box, photo.landmarks)


def _crop(rung: str, photo: PhotoFaces, options: AlignOptions) -> ChosenFace | None:
    return ChosenFace(rung, False, None)


# What each rung has for a photo, None where it has nothing.
_FINDERS: dict[str, Callable[[str, PhotoFaces, AlignOptions], ChosenFace | None]] = {
    "detector": _detector,
    "retry": _retry,
    "low-score": _low_score,
    "annotation": _annotation,
    "crop": _crop,
}
