"""Other processors, emulated by qemu-user: for tests that results do not depend on the processor."""

from __future__ import annotations

import os
import shutil

import pytest

QEMU = shutil.which("qemu-x86_64")
PROCESSORS = {"Intel Haswell": "Haswell", "AMD EPYC": "EPYC"}
"""Processors without AVX-512, and the emulator's names of them."""

if QEMU is None and os.environ.get("FACEREC_QEMU_REQUIRED"):
    raise RuntimeError("FACEREC_QEMU_REQUIRED is set, but qemu-x86_64 (package qemu-user) is not installed.")

emulated = pytest.mark.skipif(QEMU is None, reason="qemu-x86_64 (package qemu-user) is not installed")
