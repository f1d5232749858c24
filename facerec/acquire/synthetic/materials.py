"""What triangles are made of, and how each material meets light."""

from __future__ import annotations

import numpy as np

SKIN, EYE, TEETH, TONGUE, LASH, HAIR, PROP, LENS = range(8)
"""SKIN is the whole body, clothes included; PROP is any solid thing of one colour."""

POWER = np.full(8, 20, np.float32)
"""Exponent of the gloss of each material (Blinn-Phong)."""
POWER[[EYE, TEETH, TONGUE, PROP, LENS]] = 160, 50, 50, 40, 60

WRAP = np.zeros((8, 3), np.float32)
"""How far diffuse light reaches around each material, by colour: further in red for skin, which scatters."""
WRAP[SKIN] = 0.32, 0.2, 0.16
WRAP[[EYE, HAIR, PROP]] = [[0.3], [0.25], [0.1]]
