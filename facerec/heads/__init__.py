"""Losses that train an embedding, found by name. A new one is one new file and one line in `HEADS`.

A head is a module (embeddings (b, dim), labels (b,)) -> loss, with `.accuracy` and mostly `.logits` beside it.
"""

from __future__ import annotations

from typing import Any

from facerec import registry
from facerec.heads.adacos import AdaCos
from facerec.heads.adaface import AdaFace
from facerec.heads.arcface import ArcFace
from facerec.heads.base import CosineHead, Head
from facerec.heads.circle import Circle
from facerec.heads.combined import Combined
from facerec.heads.cosface import CosFace
from facerec.heads.curricularface import CurricularFace
from facerec.heads.magface import MagFace
from facerec.heads.multiface import MultiFace
from facerec.heads.normface import NormFace
from facerec.heads.softmax import Softmax
from facerec.heads.sphereface import SphereFace
from facerec.heads.subcenter import SubCenterArcFace
from facerec.heads.triplet import Triplet
from facerec.heads.uniface import UniFace
from facerec.registry import create

__all__ = ["HEADS", "CosineHead", "Head", "build", "options_of"]

HEADS: dict[str, type[Head]] = {
    "adacos": AdaCos,
    "adaface": AdaFace,
    "arcface": ArcFace,
    "circle": Circle,
    "combined": Combined,
    "cosface": CosFace,
    "curricularface": CurricularFace,
    "magface": MagFace,
    "multiface": MultiFace,
    "normface": NormFace,
    "softmax": Softmax,
    "sphereface": SphereFace,
    "subcenter-arcface": SubCenterArcFace,
    "triplet": Triplet,
    "uniface": UniFace,
}


def build(name: str, dim: int, classes: int, **options: Any) -> Head:
    """The head `name` for `classes` identities and embeddings of length `dim`, freshly initialised.

    Options such as `scale` and `margin` default to the published ones. Raises ParamsError for an
    unknown name or option.
    """
    return create("head", HEADS, name, {"dim": dim, "classes": classes}, options)


def options_of(name: str) -> list[str]:
    """Names of the options the head `name` takes, such as scale and margin."""
    return registry.options_of(HEADS[name], ("dim", "classes"))
