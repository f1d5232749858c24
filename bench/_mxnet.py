"""MXNet's RecordIO, for the scripts that compare with it; None where MXNet is not installed."""

from __future__ import annotations

from typing import Any

import numpy as np

recordio: Any = None
try:
    np.bool = np.bool_  # MXNet 1.9.1 uses a name that numpy 1.24 removed
    from mxnet import recordio
except ImportError:
    print("This script compares with MXNet, which needs its own environment; run make mxnet")

__all__ = ["recordio"]
