"""Layouts of published weights: how to recognise them, and how their entries are named in this project's networks."""

from facerec.backbones.layouts.attention import ATTENTION
from facerec.backbones.layouts.layout import Layout, Weights, below
from facerec.backbones.layouts.mobile import MOBILE
from facerec.backbones.layouts.residual import RESIDUAL

LAYOUTS: tuple[Layout, ...] = (*MOBILE, *RESIDUAL, *ATTENTION)
"""All that are known, in the order in which they are tried."""

__all__ = ["LAYOUTS", "Layout", "Weights", "below"]
