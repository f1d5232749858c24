"""Losses that train an embedding, found by name. A new one is one new file and one line in `HEADS`.

A head is a module (embeddings (b, dim), labels (b,)) -> loss, with `.logits` and `.predict` beside it.
"""

from __future__ import annotations

from typing import Any

from facerec import registry
from facerec.heads.arcface import ArcFace
from facerec.heads.base import CosineHead
from facerec.heads.combined import Combined
from facerec.heads.cosface import CosFace
from facerec.heads.normface import NormFace
from facerec.heads.softmax import Softmax
from facerec.registry import create

__all__ = ["HEADS", "CosineHead", "build", "options_of"]

HEADS: dict[str, type[CosineHead]] = {
    "arcface": ArcFace,
    "combined": Combined,
    "cosface": CosFace,
    "normface": NormFace,
    "softmax": Softmax,
}


def build(name: str, dim: int, classes: int, **options: Any) -> CosineHead:
    """The head `name` for `classes` identities and embeddings of length `dim`, freshly initialised.

    Options such as `scale` and `margin` default to the published ones. Raises ParamsError for an
    unknown name or option.
    """
    return create("head", HEADS, name, {"dim": dim, "classes": classes}, options)


def options_of(name: str) -> list[str]:
    """Names of the options the head `name` takes, such as scale and margin."""
    return registry.options_of(HEADS[name], ("dim", "classes"))
