"""What the tests share: the root of the repository and the folder of real data, where there is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facerec import use_portable_arithmetic

use_portable_arithmetic()  # before a test imports numpy or torch

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder of real data and weights; tests that need it skip without it."""
    folder = os.environ.get("FACEREC_MIRROR")
    if not folder:
        pytest.skip("FACEREC_MIRROR is not set: no real photos or weights here")
    return Path(folder)
