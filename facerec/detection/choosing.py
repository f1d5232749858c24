"""Which face of a photo is the person the photo is about.

Taking the first box is the known mistake that costs 2 to 3 points on LFW. The rules are those of the
published pipelines: `center` (InsightFace, LFW-style photos), `score-area` (InsightFace-v3), `best-score`
(MegaFace photos), `annotated` (FaceScrub, where each photo comes with a box), `largest`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.detection import boxes as geometry
from facerec.detection.base import Faces
from facerec.errors import ParamsError

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


def choose(
    faces: Faces, size: tuple[int, int], rule: str = "center", annotated: ArrayLike | None = None
) -> int | None:
    """Index of the face that `rule` chooses in a photo of `size` (height, width), None where there is none.

    Rules: `center` = argmax(area - 2 distance(box centre, photo centre)^2), `largest`, `score-area` =
    argmax(score * area), `best-score`, `annotated` = highest IoU with the box `annotated` (4,), None when
    none overlaps it. Ties go to the better score. Raises ParamsError for an unknown rule.
    """
    if rule != "annotated" and rule not in RULES:
        raise ParamsError(f"No rule {rule!r} to choose a face; use {', '.join([*RULES, 'annotated'])}.")
    if rule == "annotated" and annotated is None:
        raise ParamsError("The rule 'annotated' needs photos with an annotated box; use 'center' for others.")
    if len(faces) == 0:
        return None
    boxes, scores = faces.boxes.astype(np.float64), faces.scores.astype(np.float64)
    if rule == "annotated":
        overlap = geometry.iou(boxes, np.asarray(annotated, np.float64).reshape(1, 4))[:, 0]
        return int(overlap.argmax()) if overlap.max() > 0 else None
    return int(RULES[rule](boxes, scores, size).argmax())
