"""The same bits on every x86-64 processor: numerical libraries are held to instructions that all of them have.

numpy, torch and OpenCV choose their code by the processor: with AVX-512 an exponential or a matrix product rounds
otherwise than without it. Environment variables keep them on one way. The libraries read these when they are
loaded, so `use_portable_arithmetic` must come first; the stages, the `facerec` command and the processes they start
call it themselves. The number of threads changes sums too, so every process computes with one thread unless its recipe
names another number. (numba's loops need no setting: they are compiled without fast-math.)

The machine setting FACEREC_PORTABLE=no (or `portable = "no"` in facerec.local.toml) turns all this off.
"""

from __future__ import annotations

import os
import platform
import sys
import warnings
from functools import cache
from pathlib import Path

from facerec.core.settings import wants_portable_arithmetic

PORTABLE = "portable x86-64"
"""What `describe_arithmetic` says where results have the published bytes."""

VARIABLES = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENCV_IPP": "disabled",
    "OPENCV_LOG_LEVEL": "ERROR",  # else it warns in every process that IPP is disabled
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Environment variables and the values that make results portable; docs/reproducing.md has the reason for each."""

_LIBRARIES = ("numpy", "torch", "cv2")
_loaded_too_early: list[str] = []


def use_portable_arithmetic() -> None:
    """Hold numpy, torch and OpenCV to arithmetic that is the same on every x86-64 processor.

    Call it before any of them is imported. Warns (RuntimeWarning) where one of them already is and the variables were
    not set, as results may then differ from those of other machines. Does nothing where FACEREC_PORTABLE=no.

    >>> import facerec
    >>> facerec.use_portable_arithmetic()
    """
    if not wants_portable_arithmetic() or _is_set():
        return
    os.environ.update(VARIABLES)
    _loaded_too_early[:] = [name for name in _LIBRARIES if name in sys.modules]
    if _loaded_too_early:
        warnings.warn(
            f"{' and '.join(_loaded_too_early)} came before facerec.use_portable_arithmetic(), so results may differ "
            "from those of other processors; call it before these imports.",
            RuntimeWarning,
            stacklevel=2,
        )


def describe_arithmetic(device: str = "cpu") -> str:
    """On what kind of machine results computed on `device` (a torch device type) come out: PORTABLE, or why not.

    >>> describe_arithmetic("cuda")
    'a GPU (cuda)'
    """
    if device != "cpu":
        return f"a GPU ({device})"
    if platform.machine() != "x86_64" or sys.platform != "linux":
        return f"{platform.system()} on {platform.machine()}"
    if not {"avx2", "fma"} <= _features():  # of 2013 (Intel) or 2015 (AMD) and later, but for some small ones
        return "x86-64 without AVX2 and FMA"
    if not _is_set():
        return "x86-64 with portable arithmetic turned off"
    if _loaded_too_early:
        return "x86-64 with portable arithmetic turned on too late"
    return PORTABLE


def _is_set() -> bool:
    return all(os.environ.get(name) == value for name, value in VARIABLES.items())


@cache
def _features() -> frozenset[str]:
    """Instruction sets of the processor, as Linux names them; none where it does not tell."""
    try:
        return frozenset(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return frozenset()
