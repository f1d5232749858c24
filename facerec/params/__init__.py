"""params.yaml as typed, validated models: the one description of every parameter of an experiment.

    from facerec import params

    print(params.load_params("params.yaml").train.head.margin)

An unknown key, a wrong type or an impossible value raises `ParamsError`, which names the key and what is allowed.
Settings of the machine (device, workers, mirrors) are not parameters, since they must not change a hash.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from facerec.core import ParamsError, parse_yaml
from facerec.params.experiment import (
    DETECTOR_OPTIONS,
    Align,
    CleanParams,
    Detect,
    Embed,
    Identify,
    OverlapParams,
    Params,
    Quality,
    Verify,
)
from facerec.params.training import (
    Augment,
    Backbone,
    Freeze,
    HeadParams,
    SamplerParams,
    Schedule,
    Strict,
    Train,
    Validation,
)

__all__ = ["load_params", "parse_options", "parse_params"]
__all__ += ["CleanParams", "OverlapParams"]
__all__ += ["DETECTOR_OPTIONS", "Align", "Detect", "Embed", "Identify", "Params", "Quality", "Verify"]
__all__ += ["Augment", "Backbone", "Freeze", "HeadParams", "SamplerParams", "Schedule", "Train", "Validation"]

M = TypeVar("M", bound=Strict)


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and validate a parameter file; ParamsError names the wrong key and what is allowed there."""
    path = Path(path)
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise ParamsError(f"{path} is missing; run from the repository root or restore it from git.") from error
    return parse_params(parse_yaml(text, str(path), ParamsError), str(path))


def parse_params(raw: Any, origin: str = "params") -> Params:
    """Validate the parsed content of a parameter file; `origin` names it in errors."""
    if not isinstance(raw, dict):
        raise ParamsError(f"{origin} must be a mapping of keys to values, not {type(raw).__name__}.")
    return parse_options(Params, raw, origin)


def parse_options(model: type[M], values: Mapping[str, Any], origin: str) -> M:
    """Validate `values` as the parameters of `model`; `origin` names them in errors.

    Raises:
        ParamsError: a key or value is not allowed; the message says which and what is allowed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_explain(problem, model) for problem in error.errors())
        raise ParamsError(f"{origin}: {problems}.") from error


def _explain(problem: ErrorDetails, model: type[Strict]) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location) or "the file"
    if problem["type"] == "extra_forbidden":
        allowed = _keys_at(model, location[:-1])
        close = difflib.get_close_matches(location[-1], allowed, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return f"unknown key {key} ({hint}allowed: {', '.join(allowed)})"
    if problem["type"] == "missing":
        return f"key {key} is missing"
    text = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if problem["type"] == "value_error":
        return f"{key}: {text}" if location else text
    return f"{key} {text[:1].lower()}{text[1:]}, not {problem['input']!r}"


def _keys_at(model: Any, location: list[str]) -> list[str]:
    """The keys that the model at `location` in `model` knows; empty where any key goes."""
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        if field is not None:  # else the part names an entry of a dict whose values are `model`
            model = (get_args(field.annotation) or [field.annotation])[-1]
    return sorted(getattr(model, "model_fields", {}))
