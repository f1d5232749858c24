"""Values out of files that others wrote: YAML, JSON, torch files and safetensors, read so that nothing in them runs.

The readers of these formats fail in many ways: on deep nesting, on numbers of 6,000 digits, on tags of another type.
Here each failure is one sentence that names the file, and what passes can be printed and validated.
"""

from __future__ import annotations

import json
import pickle
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facerec.core.errors import FacerecError, FormatError
from facerec.core.torch_bounds import check_torch_file

if TYPE_CHECKING:
    import torch

SAFETENSORS = ".safetensors"
_BITS = 64  # of a whole number; Python refuses to print one of 4,301 digits
_VALUES = 1_000_000  # of a document; one that names a list time and again can hold more than fit in memory

_SHARED = 4  # how many times larger than its file tensors may be; any shape can be made of one number


def parse_yaml(text: str | bytes, origin: str, kind: type[FacerecError] = FormatError) -> Any:
    """The plain values of a YAML document; an error of the class `kind` names `origin`."""
    import yaml  # only here, since many commands do not need it

    try:
        value = yaml.safe_load(text)
        _check_plain(value)
    except Exception as error:  # constructors of tagged values fail with all kinds of errors
        raise kind(f"{origin} is not valid YAML: {short_reason(error)}.") from error
    return value


def parse_json(text: str | bytes, origin: str, kind: type[FacerecError] = FormatError) -> Any:
    """The plain values of a JSON document; an error of the class `kind` names `origin`."""
    try:
        return json.loads(text, parse_int=_whole_number)
    except (ValueError, RecursionError) as error:
        raise kind(f"{origin} is not valid JSON: {short_reason(error)}.") from error


def read_tensors(path: str | Path, mmap: bool = False) -> Any:
    """The tensors and plain values of a torch file, or those of a .safetensors, on the CPU; FormatError for any other.

    No code in the file runs; TorchScript, which is a program, is refused before torch sees it. So is a file that would
    take more memory than it is long (`facerec.core.torch_bounds`).
    """
    import torch  # only here, as most commands do not need it

    if is_torchscript(path):
        raise FormatError(f"{path} is TorchScript, a program, where weights are needed; it was not run.")
    if Path(path).suffix == SAFETENSORS:
        return _read_safetensors(path)
    try:
        check_torch_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old formats and types of tensors
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
        tensors = [each for each in _values(found) if isinstance(each, torch.Tensor)]
        if sum(each.numel() * each.element_size() for each in tensors) > _SHARED * Path(path).stat().st_size:
            raise ValueError(f"its tensors are more than {_SHARED} times larger than the file")
    except pickle.UnpicklingError as error:  # torch's own words advise to load it without protection
        if found := re.search(r"GLOBAL (\w+(?:\.\w+)*) was not an allowed global", str(error)):
            raise FormatError(
                f"{path} is no torch file of plain tensors but a whole pickled network or another object ({found[1]}), "
                "which would have to run code; in the project it is from: "
                'torch.save(model.state_dict(), "weights.pt").'
            ) from error
        raise FormatError(f"{path} is no torch file of plain tensors, or it is damaged; it was not read.") from error
    except Exception as error:  # damaged files fail with all kinds of errors
        raise FormatError(f"{path} cannot be read as weights ({short_reason(error)}).") from error
    return found


def _read_safetensors(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors by name; the library checks that they lie inside the file and fill it."""
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # of a class of its own, and many others
        raise FormatError(f"{path} cannot be read as weights ({short_reason(error)}).") from error


def is_torchscript(path: str | Path) -> bool:
    """Whether a file is TorchScript: a program, which can read, change and delete files when it runs."""
    return any(name.endswith("/constants.pkl") for name in zip_names(path))


def zip_names(path: str | Path) -> list[str]:
    """Names of the members of a zip, as torch files are; none for any other file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, zlib.error):
        return []


def _whole_number(digits: str) -> int:
    if len(digits) > _BITS // 3:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _check_plain(value: Any) -> None:
    """Raise ValueError for numbers too long to print, or more values than a document of ours ever holds."""
    for each in _values(value):
        if isinstance(each, int) and each.bit_length() > _BITS:
            raise ValueError(f"a number of {each.bit_length()} bits")


def _values(value: Any) -> Iterator[Any]:
    """Every key and value in a tree; ValueError where there are more than any document of ours holds."""
    pending, count = [value], 0
    while pending:
        yield (each := pending.pop())
        count += 1
        if count > _VALUES:
            raise ValueError(f"more than {_VALUES:,} values, aliases counted each time")
        if isinstance(each, dict):
            pending += each.keys()
            pending += each.values()
        elif isinstance(each, list | tuple | set):
            pending += each


def short_reason(error: Exception) -> str:
    """What an error says, on one line and not too long."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return " ".join(str(error).split())[:200] or type(error).__name__
