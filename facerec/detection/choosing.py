"""Which face of a photo is the person the photo is about.

Taking the first box is the known mistake that costs 2 to 3 points on LFW. The rules are those of the
published pipelines: `center` (InsightFace, LFW-style photos), `score-area` (InsightFace-v3), `best-score`
(MegaFace photos), `annotated` (FaceScrub's boxes, CFP's landmarks), `largest`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import ParamsError
from facerec.detection import boxes as geometry
from facerec.detection.base import Faces

_Values: TypeAlias = NDArray[np.float64]


def _center(boxes: _Values, scores: _Values, size: tuple[int, int]) -> _Values:
    height, width = size
    offsets = (boxes[:, :2] + boxes[:, 2:]) / 2 - np.array([width / 2, height / 2])
    value: _Values = geometry.areas(boxes) - 2 * (offsets**2).sum(axis=1)
    return value


def _largest(boxes: _Values, scores: _Values, size: tuple[int, int]) -> _Values:
    return geometry.areas(boxes)


def _score_area(boxes: _Values, scores: _Values, size: tuple[int, int]) -> _Values:
    return scores * geometry.areas(boxes)


def _best_score(boxes: _Values, scores: _Values, size: tuple[int, int]) -> _Values:
    return scores


RULES: dict[str, Callable[[_Values, _Values, tuple[int, int]], _Values]] = {
    "center": _center,
    "largest": _largest,
    "score-area": _score_area,
    "best-score": _best_score,
}
"""Rule -> a value for each face (boxes, scores, (height, width) of the photo); the highest is chosen."""


def choose_face(
    faces: Faces, size: tuple[int, int], rule: str = "center", annotated: ArrayLike | None = None
) -> int | None:
    """Index of the face that `rule` chooses in a photo of `size` (height, width), None where there is none.

    Rules: `center` = argmax(area - 2 distance(box centre, photo centre)^2), `largest`, `score-area` =
    argmax(score * area), `best-score`, `annotated` = the face that best fits what is annotated of the photo: a
    box (4,), by IoU, or landmarks (5, 2), by their mean distance; None when no box overlaps or holds their
    middle. Ties go to the better score. Raises ParamsError for an unknown rule.
    """
    if rule != "annotated" and rule not in RULES:
        raise ParamsError(f"No rule {rule!r} to choose a face; use {', '.join([*RULES, 'annotated'])}.")
    if rule == "annotated" and annotated is None:
        raise ParamsError(
            "The rule 'annotated' needs photos with an annotated box or landmarks; use 'center' for others."
        )
    if len(faces) == 0:
        return None
    if rule == "annotated":
        return _annotated(faces, np.asarray(annotated, np.float64))
    if len(faces) == 1:
        return 0
    boxes, scores = faces.boxes.astype(np.float64), faces.scores.astype(np.float64)
    return int(RULES[rule](boxes, scores, size).argmax())


def _annotated(faces: Faces, annotated: _Values) -> int | None:
    boxes = faces.boxes.astype(np.float64)
    if annotated.shape == (4,):
        overlap = geometry.iou(boxes, annotated.reshape(1, 4))[:, 0]
        return int(overlap.argmax()) if overlap.max() > 0 else None
    if annotated.shape != (5, 2):
        raise ParamsError(f"An annotation is a box (4,) or landmarks (5, 2), not of shape {annotated.shape}.")
    middle = annotated.mean(axis=0)
    inside = ((boxes[:, :2] <= middle) & (middle <= boxes[:, 2:])).all(axis=1)
    distances = np.linalg.norm(faces.landmarks - annotated, axis=2).mean(axis=1)
    return int(np.where(inside, distances, np.inf).argmin()) if inside.any() else None
