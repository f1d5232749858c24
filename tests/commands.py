"""`facerec` commands run inside this process, which has imported torch already: a process of its own takes seconds.

For tests about what a command says and writes. Tests about processes (their start, imports, signals, limits) start one.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import warnings
from contextlib import ExitStack, chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

from facerec import cli


def run(*words: object, cwd: Path | None = None, **environment: str) -> CompletedProcess[str]:
    """`facerec WORDS` as typed in the folder `cwd`, by default this one: its exit code, standard output and standard error."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="\n", write_through=True) for _ in range(2))
    with ExitStack() as stack:
        stack.enter_context(chdir(cwd or "."))
        stack.enter_context(mock.patch.dict(os.environ, environment))
        stack.enter_context(mock.patch.object(sys, "argv", ["facerec", *map(str, words)]))
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("default")  # as in a process of its own
        for kind in (DeprecationWarning, PendingDeprecationWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)
        for number, handler in handlers.items():
            stack.callback(signal.signal, number, handler)
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    told, wrong = (stream.buffer.getvalue().decode() for stream in (out, err))  # type: ignore[attr-defined]
    return CompletedProcess(["facerec", *map(str, words)], code, told, wrong)
