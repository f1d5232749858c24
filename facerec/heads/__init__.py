"""Losses that train an embedding, found by name.

A head is a module (embeddings (b, dim), labels (b,)) -> loss with an `accuracy`, and mostly with `logits`. A new one
is a class over `CosineHead` (or `Head`), such as those in `margins.py`, and a line in `HEADS`.

>>> import torch
>>> head = build_head("arcface", dim=128, classes=10, margin=0.4)
>>> loss = head(torch.randn(4, 128), torch.tensor([0, 1, 2, 9]))
>>> loss.backward()
"""

from __future__ import annotations

from typing import Any

from facerec.core import create_registered, options_of
from facerec.heads import margins, pairwise
from facerec.heads.base import CosineHead, Head, full_precision, is_margin_head
from facerec.heads.sharded import classes_held, spread_head

__all__ = [
    "HEADS",
    "CosineHead",
    "Head",
    "build_head",
    "classes_held",
    "full_precision",
    "head_options",
    "is_margin_head",
    "spread_head",
]

HEADS: dict[str, type[Head]] = {
    "adacos": margins.AdaCos,
    "adaface": margins.AdaFace,
    "arcface": margins.ArcFace,
    "circle": pairwise.Circle,
    "combined": margins.Combined,
    "cosface": margins.CosFace,
    "curricularface": margins.CurricularFace,
    "magface": margins.MagFace,
    "multiface": margins.MultiFace,
    "normface": margins.NormFace,
    "softmax": margins.Softmax,
    "sphereface": margins.SphereFace,
    "subcenter-arcface": margins.SubCenterArcFace,
    "triplet": pairwise.Triplet,
    "uniface": pairwise.UniFace,
}


def build_head(name: str, dim: int, classes: int, **options: Any) -> Head:
    """The head `name` for `classes` identities and embeddings of length `dim`, freshly initialised.

    Options such as `scale` and `margin` default to the published ones. Raises ParamsError for an
    unknown name or option.
    """
    return create_registered("head", HEADS, name, {"dim": dim, "classes": classes}, options)


def head_options(name: str) -> list[str]:
    """Names of the options of the head `name`, such as scale and margin."""
    return options_of(HEADS[name], ("dim", "classes"))
