"""Running a command for a person: failures become one clear sentence and an exit code.

Shared by the `facerec` command and the stages. A `FacerecError`, a full disk, Ctrl-C and SIGTERM end with one sentence
on standard error. So does anything else, which is a bug of this package: its traceback goes to a file that the sentence
names (`facerec.core.defects`), and the exit code is 70.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from facerec.core.defects import describe_defect
from facerec.core.errors import FacerecError, as_line

INTERRUPTED = 130
DEFECT = 70
"""Exit code for an unexpected error, EX_SOFTWARE of sysexits.h."""
ERROR_CLASS = "facerec"
"""Key of torchrun's error file that holds the class of an error of ours."""
_STOPPED = "interrupted; nothing half-written was left, run the command again to go on"
_interruption = threading.Event()

EXTRAS = {
    "anny": "synth",
    "dvc": "pipeline",
    "dvc_data": "pipeline",
    "dvclive": "loggers",
    "jinja2": "pipeline",
    "markdown_it": "pipeline",
    "onnx": "train",
    "ray": "ray",
    "retinaface": "retina-face",
    "tensorboard": "loggers",
    "timm": "train",
}
"""Module that not every installation has -> the extra of pyproject.toml that brings it."""


def run_command(main: Callable[[], None]) -> int:
    """Call `main` and return the process's exit code, explaining failures on standard error."""
    _interruption.clear()
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:  # else the caller wants it ignored
        signal.signal(signal.SIGINT, _interrupt)
    try:
        main()
    except BaseException as error:
        if _is_interruption(error):
            return _fail(_STOPPED, "KeyboardInterrupt", INTERRUPTED)
        if not isinstance(error, Exception):  # such as SystemExit
            raise
        sentence = _explain(error)
        if sentence is None:
            return _fail(describe_defect(error), type(error).__name__, DEFECT)
        return _fail(sentence, type(error).__name__, error.exit_code if isinstance(error, FacerecError) else 1)
    return 0


def note(sentence: str) -> None:
    """Write a note for people on standard error, beside the result."""
    sys.stderr.write(f"note: {as_line(sentence)}\n")


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that temporary files are removed."""
    _interruption.set()
    raise KeyboardInterrupt


def _is_interruption(error: BaseException) -> bool:
    """Whether Ctrl-C is the reason. It reaches workers too, so that something else may break first."""
    if isinstance(error, SystemExit):
        return error.code == INTERRUPTED  # how typer reports Ctrl-C
    return isinstance(error, KeyboardInterrupt) or _interruption.is_set()


def _fail(sentence: str, kind: str, code: int = 1) -> int:
    """Write the sentence on standard error, or for torchrun, whose processes often all fail for one reason."""
    file, sentence = os.environ.get("TORCHELASTIC_ERROR_FILE"), as_line(sentence)
    if file is None:
        sys.stderr.write(f"error: {sentence}\n")
        return code
    told = {"message": sentence, "extraInfo": {"timestamp": str(int(time.time())), "py_callstack": ""}}
    Path(file).write_text(json.dumps({"message": told, ERROR_CLASS: kind}), encoding="utf-8")
    return code


def _explain(error: Exception) -> str | None:
    """The sentence for a person; None for a bug of this package."""
    if isinstance(error, FacerecError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and (missing := (error.name or "").partition(".")[0]) in EXTRAS:
        return f"this needs the package {missing}, which is not installed; pip install 'facerec[{EXTRAS[missing]}]'"
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # torch on the CPU
        return "out of memory; close other programs or set FACEREC_WORKERS=1 and run again"
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
        return (
            "the GPU is out of memory; lower train.batch, raise train.accumulate (the same batch in more parts) or "
            "set train.precision to bfloat16, and see with nvidia-smi who else uses it"
        )
    return _explain_system(error) if isinstance(error, OSError) else None


def _explain_system(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no space left on the disk{where}; free some and run again, finished work is kept"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"no permission to read or write{where}; check the owner and mode of the folder"
    if error.errno == errno.ENOENT:
        return f"a file is missing{where}; run `dvc repro` to make it, or check the name"
    return f"{error.strerror or error}{where}"
