"""Face detection: detectors by name, which face of a photo to keep, tables of a whole set.

A new detector is one file with a class that has `name` and `detect`, and one line in `DETECTORS`.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from facerec.core import ParamsError
from facerec.detection.base import Detector, Faces
from facerec.detection.choosing import RULES, choose_face
from facerec.detection.drawing import draw_faces

__all__ = ["RULES", "Detector", "Faces", "build_detector", "choose_face", "detector_names", "draw_faces"]

DETECTORS = {
    "mtcnn": "facerec.detection.mtcnn:MTCNN",
    "retina-face": "facerec.detection.retina_face_package:RetinaFacePackage",
    "retinaface-mnet0.25": "facerec.detection.retinaface:RetinaFaceMobile",
    "retinaface-r50": "facerec.detection.retinaface:RetinaFaceR50",
}


def detector_names() -> list[str]:
    """Registered detectors."""
    return sorted(DETECTORS)


def build_detector(name: str, **options: Any) -> Detector:
    """The detector `name` with its options; a module is imported only when its detector is built.

    Raises ParamsError for an unknown name or option.
    """
    if name not in DETECTORS:
        raise ParamsError(f"No detector {name!r}; choose one of {', '.join(detector_names())}.")
    module, _, attribute = DETECTORS[name].partition(":")
    factory = getattr(import_module(module), attribute)
    try:
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        raise ParamsError(f"The detector {name} does not take the options {options} ({error}).") from error
    detector: Detector = factory(**options)
    return detector
