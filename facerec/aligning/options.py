"""How faces are chosen and cut out: the options of an enrolment, checked before any work."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from facerec.core import FormatError, ParamsError
from facerec.detection import RULES
from facerec.imaging import alignment, images
from facerec.imaging.alignment import Size

CROPS = ("template", "box")
RUNGS = ("detector", "retry", "low-score", "annotation", "crop")
"""Where a face can come from; see facerec.aligning.fallbacks."""

_BOXED = re.compile(r"box-([0-9]{1,2}(?:\.[0-9]{1,9})?(?:e-[0-9]{2})?)-.*")


@dataclass(frozen=True)
class AlignOptions:
    """Which face of a photo is kept, what is tried where there is none, and the crop made of it."""

    size: Size = 112
    """Side of the crop in pixels, or its (height, width)."""
    crop: str = "template"
    """"template": landmarks are brought to the five-point template by a similarity; "box": the box and `margin`
    around it, upright, as systems without landmarks cut."""
    margin: float = 0.04
    """Share of a box's sides added around it, half on each side, wherever a box is cut; .04 shows faces about as
    large as the template does (median over MTCNN's boxes)."""
    rule: str = "center"
    """Of `facerec.detection.choose_face`."""
    min_score: float = 0.0
    """The rungs "detector" and "retry" take faces of this score or more, "low-score" the others."""
    rungs: tuple[str, ...] = ("detector", "retry")
    """Where faces come from, in this order (`facerec.aligning.fallbacks`); a photo without any is left out."""
    quality: int = 95
    """JPEG quality, 1 to 100."""
    subsampling: str = "yuv420"
    """JPEG subsampling of colour, one of `facerec.imaging.images.SUBSAMPLINGS`."""

    @classmethod
    def fitting(cls, size: tuple[int, int], template: str, **others: Any) -> AlignOptions:
        """Options whose crops have this size (height, width) and geometry, as a network declares them.

        Raises FormatError for a geometry that no option makes.
        """
        options = cls(size=size, **others)
        boxed = _BOXED.fullmatch(template)
        if boxed is not None:
            options = replace(options, crop="box", margin=float(boxed[1]))
        if options.template != template:
            raise FormatError(
                f"Faces aligned to {template!r} at {size[0]}x{size[1]} cannot be cut from photos here; use a "
                f"network for {alignment.template_name(size)!r}."
            )
        return options

    def check(self) -> None:
        """Raise ParamsError for a value that is not allowed."""
        alignment.shape_of(self.size)
        named = (
            ("rule", (self.rule,), (*RULES, "annotated")),
            ("crop", (self.crop,), CROPS),
            ("rung", self.rungs, RUNGS),
            ("subsampling", (self.subsampling,), tuple(images.SUBSAMPLINGS)),
        )
        for what, values, allowed in named:
            for value in values:
                if value not in allowed:
                    raise ParamsError(f"There is no {what} {value!r}; use {', '.join(allowed)}.")
        if not self.rungs or len(set(self.rungs)) < len(self.rungs):
            raise ParamsError("Name at least one rung, and each only once.")
        if not 0 <= self.margin <= 10 or not 0 <= self.min_score <= 1 or not 1 <= self.quality <= 100:
            raise ParamsError("The margin must be 0 to 10, min_score 0 to 1 and the JPEG quality 1 to 100.")

    @property
    def template(self) -> str:
        """Name of the crops' geometry, which training and embedding check."""
        name = alignment.template_name(self.size)
        return name if self.crop == "template" else f"box-{self.margin:g}{name.removeprefix('arcface')}"
