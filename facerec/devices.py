"""Which torch device to use: a fact of the machine, so never a parameter of an experiment."""

from __future__ import annotations

import torch

from facerec.errors import ParamsError
from facerec.execution import local_setting


def device() -> torch.device:
    """The device of FACEREC_DEVICE or facerec.local.toml; "auto" (default) is cuda where available, else cpu.

    Raises ParamsError for a name torch does not know and for cuda on a machine without it.
    """
    name = local_setting("device", "auto")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(name)
    except RuntimeError as error:
        raise ParamsError(f"FACEREC_DEVICE must be auto, cpu, cuda or cuda:N, not {name!r}.") from error
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ParamsError(f"FACEREC_DEVICE is {name!r} but this machine has no such GPU; use cpu or auto.")
    return chosen
