"""Face detection: detectors by name, the choice of one face of a photo, and the detection table of a set.

    from facerec import detection

    detector = detection.build_detector("mtcnn", min_face=40)
    (faces,) = detector.detect([image])  # RGB uint8 (h, w, 3)
    faces.boxes, faces.landmarks, faces.scores

    faces.py     what detectors return, and which face of a photo to choose
    boxes.py     box arithmetic
    finding.py   encoded photos of any size to faces, with a second look at padded photos
    table.py     all faces of a set of photos in one Parquet table
    reading.py   such a table, read whole or piece by piece

A new detector is one file with a class that has `name` and `detect`, and one line in `DETECTORS`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any

from facerec.core import ParamsError
from facerec.detection.faces import RULES, Detector, Faces, choose_face, draw_faces
from facerec.detection.finding import NO_FACES, FoundFaces, find_faces

__all__ = ["NO_FACES", "RULES", "Detector", "Faces", "FoundFaces"]
__all__ += ["build_detector", "choose_face", "detector_names", "draw_faces", "find_faces"]

DETECTORS = {
    "mtcnn": "facerec.detection.mtcnn:MTCNN",
    "retina-face": "facerec.detection.retina_face_package:RetinaFacePackage",
    "retinaface-mnet0.25": "facerec.detection.retinaface:RetinaFaceMobile",
    "retinaface-r50": "facerec.detection.retinaface:RetinaFaceR50",
}


def detector_names() -> list[str]:
    """Names of the detectors, sorted."""
    return sorted(DETECTORS)


def build_detector(name: str, **options: Any) -> Detector:
    """The detector `name` with its options; its module is imported now, not before.

    Raises:
        ParamsError: unknown name or option.
    """
    if name not in DETECTORS:
        raise ParamsError(f"No detector {name!r}; choose one of {', '.join(detector_names())}.")
    factory: Callable[..., Detector] = resolve_name(DETECTORS[name])
    try:
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        raise ParamsError(f"The detector {name} does not take the options {options} ({error}).") from error
    return factory(**options)
