"""Settings of the machine: workers, device, folders. They do not change results, so they are not parameters.

Each comes from the environment variable FACEREC_<NAME> or from the git-ignored facerec.local.toml. An experiment that
DVC runs in a folder of its own has the settings of the project it belongs to (see `home`).
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from facerec.core.errors import ParamsError

if TYPE_CHECKING:
    import torch


def home() -> Path:
    """The folder of machine settings and caches: this one or, in an experiment of DVC's queue, that of its project.

    `dvc queue start` and `dvc exp run --temp` work in a copy of the files in git below .dvc/tmp/exps/.
    """
    here = Path.cwd()
    for folder in here.parents:
        if folder.parts[-3:] == (".dvc", "tmp", "exps"):
            return folder.parents[2]
    return Path()


def local_path(name: str, default: str) -> Path:
    """Machine setting `name` as a path; a relative one starts at `home`."""
    return home() / local_setting(name, default)


def local_setting(name: str, default: str) -> str:
    """Machine setting `name`: environment FACEREC_<NAME>, then facerec.local.toml, then `default`."""
    from_environment = os.environ.get(f"FACEREC_{name.upper()}")
    if from_environment:
        return from_environment
    file = home() / "facerec.local.toml"
    if not file.is_file():
        return default
    try:
        return str(tomllib.loads(file.read_text(encoding="utf-8")).get(name, default))
    except (ValueError, RecursionError) as error:  # also for deep nesting and numbers of 6,000 digits
        raise ParamsError(f"{file} is not valid TOML ({error}); correct or delete it.") from error


def local_number(name: str, default: float) -> float:
    """Machine setting `name` as a number from 0 up; ParamsError where it is none."""
    text = local_setting(name, f"{default:g}")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ParamsError(f"FACEREC_{name.upper()} must be a number from 0 up, not {text!r}.")
    return value


def wants_portable_arithmetic() -> bool:
    """FACEREC_PORTABLE or facerec.local.toml, yes (default) or no; see `facerec.core.portable`."""
    wanted = local_setting("portable", "yes")
    if wanted not in ("yes", "no"):
        raise ParamsError(f"FACEREC_PORTABLE must be yes or no, not {wanted!r}.")
    return wanted == "yes"


def leads() -> bool:
    """Whether this process writes messages for the run: all but the second and further processes of torchrun."""
    return os.environ.get("RANK", "0") == "0"


def usable_cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_count() -> int:
    """Processes to use: FACEREC_WORKERS, facerec.local.toml, or one a usable core, shared by torchrun's processes."""
    beside = os.environ.get("LOCAL_WORLD_SIZE", "")
    share = usable_cores() // int(beside) if beside.isdigit() and int(beside) else usable_cores()
    value = local_setting("workers", str(max(1, share)))
    if not value.isdigit() or int(value) < 1:
        raise ParamsError(f"FACEREC_WORKERS must be a positive number, not {value!r}.")
    return int(value)


def torch_device() -> torch.device:
    """The device of FACEREC_DEVICE or facerec.local.toml; "auto" (default) is cuda where available, else cpu.

    Raises ParamsError for a name torch does not know and for cuda on a machine without it.
    """
    import torch  # only here, since most commands do not need it

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


def device_type() -> str:
    """The type of `torch_device`, without importing torch, which takes a second, where there can be no GPU for it."""
    name = local_setting("device", "auto")
    return "cpu" if name == "cpu" or (name == "auto" and not _may_have_gpu()) else torch_device().type


def _may_have_gpu() -> bool:
    """Whether NVIDIA's driver library or the device of AMD's driver is there; always on other systems than Linux."""
    if sys.platform != "linux" or Path("/dev/kfd").exists():
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def describe_device(device: torch.device) -> str:
    """The device in words and the GPUs left unused: "the CPU (torch sees no GPU)", "GPU NVIDIA H100"."""
    import torch

    if device.type != "cuda":
        if torch.cuda.is_available():
            return "the CPU, as FACEREC_DEVICE says"
        return f"the CPU (torch sees no GPU{'' if torch.version.cuda else ', as this build of it has no CUDA'})"
    count = torch.cuda.device_count()
    others = f", one of {count}; FACEREC_TORCHRUN='--nproc-per-node gpu' uses all" if count > 1 else ""
    return f"GPU {torch.cuda.get_device_name(device)}{others}"
