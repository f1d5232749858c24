"""Run a command in several processes with torchrun.

The machine setting FACEREC_TORCHRUN holds torchrun's arguments, such as "--nproc-per-node 4" or, on each of two
machines, "--nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint host:29400". Without it
a command is a single process. The processes read their ranks from the environment (`facerec.distributed`).
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from facerec.core import ERROR_CLASS, INTERRUPTED, FacerecError, ParamsError, local_setting

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

_SETTING = "FACEREC_TORCHRUN"


class LaunchError(FacerecError):
    """A process of the run failed; message and exit code are those of that process."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def should_launch() -> bool:
    """Whether this command should start several processes: the setting is there, and this is not one of them already."""
    return "RANK" not in os.environ and bool(local_setting("torchrun", "").strip())


def launch(arguments: Sequence[str]) -> None:
    """Run `python -m ARGUMENTS...` in the processes that FACEREC_TORCHRUN describes, and wait for all of them.

    Raises ParamsError for a setting that torchrun refuses, LaunchError with the error of the process that failed
    first or when the machine where several meet cannot be reached, and KeyboardInterrupt after Ctrl-C or SIGTERM, once
    the processes have ended.
    """
    from torch.distributed import DistError, run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError

    text = local_setting("torchrun", "")
    logging.disable(logging.CRITICAL)  # torchrun's messages repeat the error of the process
    try:
        with contextlib.redirect_stderr(io.StringIO()) as refused:
            parsed = run.get_args_parser().parse_args([*shlex.split(text), "-m", *arguments])
            run.determine_local_world_size(parsed.nproc_per_node)
    except (SystemExit, ValueError) as error:
        reason = (refused.getvalue().strip().splitlines() or [str(error)])[-1]
        raise ParamsError(f"{_SETTING} is {text!r}, which torchrun does not take ({reason}).") from error
    try:
        run.run(parsed)  # type: ignore[no-untyped-call]
    except SignalException as error:
        raise KeyboardInterrupt from error
    except ChildFailedError as error:
        _explain(error)
    except (DistError, RendezvousError) as error:
        raise LaunchError(
            f"The machines of the run do not meet, or lost the one where they do ({error}); see what ended "
            f"there and that --rdzv-endpoint in {_SETTING} can be reached. Training goes on at its last checkpoint."
        ) from error
    finally:
        logging.disable(logging.NOTSET)


def _explain(error: ChildFailedError) -> None:
    """Raise the error of the process that failed first, not of those that then lost the connection to it."""

    def order(item: tuple[int, ProcessFailure]) -> tuple[bool, int]:
        lost_others = item[1].error_file_data.get(ERROR_CLASS) == "DistributedError"
        return lost_others, item[1].timestamp

    rank, failure = min(error.failures.items(), key=order)
    if failure.exitcode == INTERRUPTED:
        raise KeyboardInterrupt from error
    if ERROR_CLASS in failure.error_file_data:
        raise LaunchError(failure.error_file_data["message"]["message"], max(failure.exitcode, 1)) from error
    how = f"was ended by signal {-failure.exitcode}" if failure.exitcode < 0 else f"ended with {failure.exitcode}"
    raise LaunchError(f"Process {rank} of the run {how}; what it printed above may say why.") from error
