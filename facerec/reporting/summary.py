"""One summary of a run out of the metrics of its stages: the file people diff.

DVC compares scalars only: a list vanishes from `dvc metrics diff` without a word, so it is refused here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from facerec.errors import FormatError


def gather(**groups: Mapping[str, Any]) -> dict[str, Any]:
    """Nest metrics by group, in sorted order: gather(verification={"lfw": {"accuracy": .99}}, training={...}).

    Groups that are empty are left out, and so are values of None. FormatError names a value that is not a
    finite number, a truth value or a text.
    """
    return {name: _scalars(groups[name], name) for name in sorted(groups) if groups[name]}


def _scalars(group: Mapping[str, Any], where: str) -> dict[str, Any]:
    clean: dict[str, Any] = {}
    for key in sorted(group):
        value, place = group[key], f"{where}.{key}"
        if isinstance(value, Mapping):
            clean[key] = _scalars(value, place)
        elif isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
            clean[key] = value
        elif value is not None:
            raise FormatError(
                f"Metric {place} is {value!r}; a summary holds finite numbers and texts, so that runs compare."
            )
    return clean
