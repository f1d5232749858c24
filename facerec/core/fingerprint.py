"""What decides the bits that a process computes: the code, the libraries below it and the arithmetic of its machine.

Parts of one work may come from several machines only where all of this is equal.
"""

from __future__ import annotations

import importlib.metadata
import platform
from functools import cache
from pathlib import Path

from facerec.core.digests import combined_digest, sha256_of_file
from facerec.core.portable import PORTABLE, describe_arithmetic

_LIBRARIES = [
    "mtcnn",
    "numpy",
    "onnxruntime",
    "opencv-contrib-python-headless",
    "pillow",
    "pyarrow",
    "retina-face",
    "torch",
]


@cache
def code_and_libraries() -> dict[str, str]:
    """All code of this package, as parts of two versions must not mix, and the libraries that decide bytes."""
    package = Path(__file__).parents[1]
    files = {str(file.relative_to(package)): sha256_of_file(file) for file in sorted(package.rglob("*.py"))}
    return {"code of facerec": combined_digest(files), **{name: _version(name) for name in _LIBRARIES}}


def fingerprint(device: str = "cpu") -> dict[str, str]:
    """Code, libraries and arithmetic of this process by name; two with equal values compute equal bits on `device`.

    Where arithmetic is not portable, the model of the processor or GPU counts too.
    """
    arithmetic = describe_arithmetic(device)
    if arithmetic != PORTABLE:
        arithmetic = f"{arithmetic}, {_model(device)}"
    return {**code_and_libraries(), "Python": platform.python_version(), "arithmetic": arithmetic}


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """What differs between two fingerprints, each as a few words.

    >>> differences({"numpy": "2.4.6", "torch": "2.14"}, {"numpy": "2.3.0", "torch": "2.14"})
    ['numpy is 2.3.0, not 2.4.6']
    """
    return [
        f"{name} is {_brief(found.get(name, 'missing'))}, not {_brief(value)}"
        for name, value in expected.items()
        if found.get(name) != value
    ]


def _brief(value: str) -> str:
    return value[:12] if len(value) == 64 else value


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _model(device: str) -> str:
    """The model of the GPU or processor; "" where the system does not tell."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
