"""Which torch device to use: a fact of the machine, so never a parameter of an experiment."""

from __future__ import annotations

import torch

from facerec.core.errors import ParamsError
from facerec.core.executor import local_setting


def torch_device() -> torch.device:
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


def describe_device(device: torch.device) -> str:
    """The device in words, with what else could be used: "the CPU (torch sees no GPU)", "GPU NVIDIA H100"."""
    if device.type != "cuda":
        reason = "no GPU" if torch.version.cuda else "no GPU, as this build of it has no CUDA"
        asked = torch.cuda.is_available()
        return "the CPU, as FACEREC_DEVICE says" if asked else f"the CPU (torch sees {reason})"
    count = torch.cuda.device_count()
    others = f", one of {count}; FACEREC_TORCHRUN='--nproc-per-node gpu' uses all" if count > 1 else ""
    return f"GPU {torch.cuda.get_device_name(device)}{others}"
