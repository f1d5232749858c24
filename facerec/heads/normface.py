"""Normalised softmax: cross entropy of scaled cosines without a margin.

Source: Wang, Xiang, Cheng, Yuille, "NormFace: L2 Hypersphere Embedding for Face Verification", 2017.
"""

from __future__ import annotations

from facerec.heads.base import CosineHead


class NormFace(CosineHead):
    """Logits s cos(theta)."""
