"""What is kept of an unexpected error: a file with the traceback and the versions, for whoever mends it.

People get one sentence that names the file. With FACEREC_DEBUG=1 the traceback is printed instead.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from facerec.core.reading import short_reason
from facerec.core.settings import home

_FOLDER = Path(".facerec/errors")
_LIBRARIES = ("numpy", "torch", "onnxruntime", "onnx", "timm", "pyarrow", "pydantic", "numba", "dvc", "typer")


def describe_defect(error: Exception) -> str:
    """The sentence for an unexpected error; its details go to a file, or to standard error with FACEREC_DEBUG=1."""
    what = f"{type(error).__name__} ({short_reason(error)})"
    if os.environ.get("FACEREC_DEBUG", "0") not in ("", "0"):
        sys.stderr.write(_trace(error))
        return f"an unexpected {what}; this is a defect of facerec, please report it with the lines above"
    file = _keep(error)
    if file is None:
        return (
            f"an unexpected {what}; this is a defect of facerec: run it with FACEREC_DEBUG=1 and report what it prints"
        )
    return f"an unexpected {what}; this is a defect of facerec, please report it with {file}"


def _keep(error: Exception) -> Path | None:
    """A new file with the details, below the project's .facerec or else in the temporary folder; None where neither works."""
    now = datetime.now(UTC)
    lines = [
        f"time: {now:%Y-%m-%dT%H:%M:%SZ}",
        f"command: {shlex.join(sys.argv)}",
        f"python: {platform.python_version()} on {platform.platform()}",
        *(f"{name}: {_version(name)}" for name in ("facerec", *_LIBRARIES)),
    ]
    text = "\n".join([*lines, "", _trace(error)]).encode(errors="backslashreplace")
    for folder in (_project_folder, lambda: Path(tempfile.gettempdir())):
        with suppress(OSError):
            handle, name = tempfile.mkstemp(".txt", f"facerec-{now:%Y%m%d-%H%M%S}-", folder())
            with os.fdopen(handle, "wb") as file:
                file.write(text)
            return Path(name)
    return None


def _project_folder() -> Path:
    """The folder for details in the project; FileNotFoundError outside one."""
    if not any((home() / mark).exists() for mark in (".dvc", ".facerec")):
        raise FileNotFoundError
    folder = home() / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _trace(error: Exception) -> str:
    return "".join(traceback.format_exception(error))


def _version(name: str) -> str:
    from importlib import metadata  # takes as long as the rest of this package

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
