"""From photos to aligned faces: the parameters `detect` and `align`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from facerec.params.fields import Share, Strict

DETECTOR_OPTIONS = {
    "mtcnn": ("min_face", "thresholds", "factor"),
    "retina-face": ("threshold", "upscale"),
    "retinaface-mnet0.25": ("threshold", "overlap", "max_side"),
    "retinaface-r50": ("threshold", "overlap", "max_side"),
}
"""Detector -> keys of `detect` that are its options, besides its weights."""


class Detect(Strict):
    """How faces are found; every face of every photo is recorded. Each detector has options of its own."""

    detector: Literal["mtcnn", "retina-face", "retinaface-mnet0.25", "retinaface-r50"] = "mtcnn"
    """Which detector; docs/detection.md says how well each does."""
    weights: str | None = None
    """File of the detector's weights; null for mtcnn, whose weights come with the package `mtcnn`."""
    min_face: Annotated[int, Field(ge=12, le=1000)] = 20
    """Of mtcnn: side in pixels of the smallest face looked for; time grows with its inverse square."""
    thresholds: tuple[Share, Share, Share] = (0.6, 0.7, 0.7)
    """Of mtcnn: probability that a face needs after each of the three networks."""
    factor: Annotated[float, Field(gt=0.3, lt=0.95)] = 0.709
    """Of mtcnn: ratio of neighbouring scales of the pyramid."""
    threshold: Share = 0.9
    """Of the RetinaFaces: probability that a face needs."""
    overlap: Share = 0.4
    """Of retinaface-mnet0.25 and -r50: IoU above which the lower of two boxes is dropped."""
    max_side: Annotated[int, Field(ge=32, le=8192)] = 2048
    """Of retinaface-mnet0.25 and -r50: photos with a longer side are reduced to it."""
    upscale: bool = True
    """Of retina-face: whether photos with a short side below 1024 pixels are enlarged to it."""
    retry: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Photos whose best face scores less are looked at again, resized and padded: 0 none, 1 all (tightly cropped)."""

    @model_validator(mode="after")
    def _options_are_the_detector_s(self) -> Detect:
        own = DETECTOR_OPTIONS[self.detector]
        for key in sorted(self.model_fields_set - {"detector", "weights", "retry"}):
            if key not in own:
                raise ValueError(f"{self.detector} has no {key}, remove it (its options: {', '.join(own)})")
        if (self.detector == "mtcnn") != (self.weights is None):
            needed = "null, since they come with its package" if self.detector == "mtcnn" else "a file"
            raise ValueError(f"weights of {self.detector} must be {needed}, not {self.weights or 'null'}")
        return self

    def options(self) -> dict[str, Any]:
        """The options that `facerec.detection.build_detector` takes for this detector."""
        names = [*DETECTOR_OPTIONS[self.detector], *(["weights"] if self.detector != "mtcnn" else [])]
        return {name: getattr(self, name) for name in names}


def _sides(value: Any) -> int | tuple[int, int]:
    sides = list(value) if isinstance(value, list | tuple) else [value]
    if len(sides) > 2 or not all(type(side) is int and 16 <= side <= 1024 for side in sides):
        raise ValueError(f"must be a side of 16 to 1024 pixels, or [height, width], not {value!r}")
    return (sides[0], sides[1]) if len(sides) == 2 else int(sides[0])


_SIDE = {"type": "integer", "minimum": 16, "maximum": 1024}
_SIDES = {"anyOf": [_SIDE, {"type": "array", "prefixItems": [_SIDE, _SIDE]}]}


class Align(Strict):
    """Which face of a photo is kept, what is tried where there is none, and the crop made of it.

    Meanings as in facerec.aligning.AlignOptions.
    """

    size: Annotated[int | tuple[int, int], PlainValidator(_sides), WithJsonSchema(_SIDES)] = 112
    """Side of the crop in pixels, or [height, width]."""
    crop: Literal["template", "box"] = "template"
    """"template": landmarks are brought to the five-point template; "box": the box with `margin`, upright."""
    margin: Annotated[float, Field(ge=0, le=10)] = 0.04
    """Share of a box's sides added around it, half on each side, wherever a box is cut."""
    rule: Literal["center", "largest", "score-area", "best-score", "annotated"] = "center"
    """Which of several faces is kept; "annotated" is the one that fits an annotated box or landmarks best."""
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The rungs "detector" and "retry" take faces of this score or more, "low-score" the others."""
    rungs: Annotated[
        tuple[Literal["detector", "retry", "low-score", "annotation", "crop"], ...], Field(min_length=1)
    ] = ("detector", "retry")
    """Where the face comes from, tried in this order; a photo without any is left out, and counted."""
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    """JPEG quality of the crops."""
    subsampling: Literal["yuv444", "yuv422", "yuv420"] = "yuv420"
    """JPEG subsampling of colour."""
