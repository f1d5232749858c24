"""A process that a test started, to its end."""

from __future__ import annotations

import subprocess


def finish(process: subprocess.Popen[str], seconds: float) -> tuple[str, str]:
    """What it said on standard output and standard error, where they are piped, if it succeeds.

    One that takes longer than this is killed, so that no later test finds it alive.
    """
    with process:
        try:
            said, errors = process.communicate(timeout=seconds)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    return said, errors
