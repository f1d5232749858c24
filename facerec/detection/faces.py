"""What detectors return, which face of a photo to choose, and faces drawn on a photo."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.core import FormatError, ImageError, ParamsError, read_tensors, require_path, short_reason
from facerec.detection.boxes import box_areas, box_iou

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Faces:
    """The faces of one photo by descending score, in photo pixels (integer coordinates = pixel centres).

    Attributes:
        boxes: (n, 4) float32 x1, y1, x2, y2; they may reach outside the photo.
        landmarks: (n, 5, 2) float32 x, y of left eye, right eye, nose, left and right mouth corner as seen in the
            image.
        scores: (n,) float32 in 0..1.
    """

    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: slice | NDArray[np.bool_]) -> Faces:
        return Faces(self.boxes[rows], self.landmarks[rows], self.scores[rows])


class Detector(Protocol):
    """Finds faces. `name` is its name in the registry of `facerec.detection`."""

    name: str

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Faces]:
        """The faces of each RGB image (h, w, 3); images may differ in size."""


def check_images(images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """The images in contiguous memory; ImageError when one is not uint8 (h, w, 3)."""
    for number, image in enumerate(images):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise ImageError(
                f"Image {number} is {image.dtype} {image.shape}, but a detector takes RGB uint8 (h, w, 3)."
            )
    return [np.ascontiguousarray(image) for image in images]


def load_state(network: torch.nn.Module, path: Path, content: str) -> None:
    """Load the .pth file `path`, which should hold `content`, without running code in it; else FormatError."""
    require_path(path, "download the weights, or name them in detect.weights")
    try:
        state = read_tensors(path)
        network.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    except Exception as error:  # entries of other types and shapes fail with all kinds of errors
        raise FormatError(
            f"{path} does not hold {content} ({short_reason(error)}); see detect.detector and weights."
        ) from error


def sorted_faces(boxes: NDArray[np.float64], landmarks: NDArray[np.float64], scores: NDArray[np.float64]) -> Faces:
    """Faces by descending score, then position, rounded to 1/100 pixel and 1e-5 of score.

    Arithmetic in another batch differs in the last bit. Rounding removes that, so that the faces of a photo
    practically never depend on which photos shared its batch.
    """
    boxes, landmarks, scores = boxes.round(2), landmarks.round(2), scores.round(5)
    order = np.lexsort((boxes[:, 1], boxes[:, 0], -scores))
    return Faces(
        (boxes[order] + 0.0).astype(np.float32),  # + 0.0 turns -0 into 0
        (landmarks[order] + 0.0).astype(np.float32).reshape(-1, 5, 2),
        scores[order].astype(np.float32),
    )


def batch_images(images: Sequence[NDArray[np.uint8]], device: torch.device) -> Iterator[list[int]]:
    """Batches of indices of images that a network gets together: those of equal size, of 4 million pixels in all.

    On a CPU each image is alone: convolving many at once is hardly faster there, but differs in the last bit, and so
    the faces of a photo cannot depend on its neighbours.
    """
    if device.type == "cpu":
        yield from ([number] for number in range(len(images)))
        return

    def size(number: int) -> tuple[int, ...]:
        return images[number].shape[:2]

    for (height, width), group in groupby(sorted(range(len(images)), key=size), key=size):
        members, step = list(group), max(1, 4_000_000 // (height * width))
        yield from (members[start : start + step] for start in range(0, len(members), step))


_Values: TypeAlias = NDArray[np.float64]


def _centrality(boxes: _Values, scores: _Values, size: tuple[int, int]) -> _Values:
    height, width = size
    offsets = (boxes[:, :2] + boxes[:, 2:]) / 2 - np.array([width / 2, height / 2])
    value: _Values = box_areas(boxes) - 2 * (offsets**2).sum(axis=1)
    return value


RULES: dict[str, Callable[[_Values, _Values, tuple[int, int]], _Values]] = {
    "center": _centrality,
    "largest": lambda boxes, scores, size: box_areas(boxes),
    "score-area": lambda boxes, scores, size: scores * box_areas(boxes),
    "best-score": lambda boxes, scores, size: scores,
}
"""Rule -> a value for each face (boxes, scores, (height, width) of the photo); the face with the highest is chosen."""


def choose_face(
    faces: Faces, size: tuple[int, int], rule: str = "center", annotated: ArrayLike | None = None
) -> int | None:
    """Choose the face that a photo is about. Taking the first box instead costs 2 to 3 points of accuracy on LFW.

    Ties go to the better score. The rules are those of published pipelines:

    - `center`, of InsightFace for LFW-style photos: argmax(area - 2 distance(box centre, photo centre)^2)
    - `score-area`, of InsightFace-v3: argmax(score * area)
    - `best-score`, for MegaFace photos
    - `largest`
    - `annotated`, for FaceScrub (boxes) and CFP (landmarks): the face that best fits the annotation

    Args:
        faces: the faces of the photo.
        size: (height, width) of the photo in pixels.
        rule: one of the above.
        annotated: for the rule `annotated`, a box (4,), compared by IoU, or landmarks (5, 2), compared by their
            mean distance.

    Returns:
        The index of the face; None where there are no faces, or where none overlaps the annotated box or holds
        the middle of the annotated landmarks.

    Raises:
        ParamsError: unknown rule, or `annotated` without an annotation of the right shape.

    Example:
        >>> boxes = np.array([[0, 0, 30, 30], [40, 40, 60, 60]], np.float32)
        >>> faces = Faces(boxes, np.zeros((2, 5, 2), np.float32), np.array([0.99, 0.9], np.float32))
        >>> choose_face(faces, (100, 100)), choose_face(faces, (100, 100), "largest")
        (1, 0)
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
        overlap = box_iou(boxes, annotated.reshape(1, 4))[:, 0]
        return int(overlap.argmax()) if overlap.max() > 0 else None
    if annotated.shape != (5, 2):
        raise ParamsError(f"An annotation is a box (4,) or landmarks (5, 2), not of shape {annotated.shape}.")
    middle = annotated.mean(axis=0)
    inside = ((boxes[:, :2] <= middle) & (middle <= boxes[:, 2:])).all(axis=1)
    distances = np.linalg.norm(faces.landmarks - annotated, axis=2).mean(axis=1)
    return int(np.where(inside, distances, np.inf).argmin()) if inside.any() else None


# Left eye red, right eye green, nose blue, left and right mouth corner yellow and magenta: a swapped
# order is seen at a glance.
_COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255)]


def draw_faces(
    image: NDArray[np.uint8], faces: Faces, frame: tuple[int, int, int] = (255, 255, 255)
) -> NDArray[np.uint8]:
    """A copy of the RGB image (h, w, 3) with a box, white or in colour `frame`, and five landmarks for each face.

    Landmarks of shape (n, 0, 2) are not drawn.
    """
    canvas = np.ascontiguousarray(image).copy()
    radius = max(1, round(min(image.shape[:2]) / 150))
    for box, points in zip(faces.boxes, faces.landmarks, strict=True):
        x1, y1, x2, y2 = (round(float(value)) for value in box)
        cv2.rectangle(canvas, (x1, y1), (x2, y2), frame, radius)
        for (x, y), colour in zip(points, _COLOURS, strict=False):
            cv2.circle(canvas, (round(float(x)), round(float(y))), radius, colour, -1)
    return canvas
