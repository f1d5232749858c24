"""Training sets of a network: their names, and whether their people are real or rendered.

They are kept in backbone.pt and in the metadata of its ONNX export, so that either file by itself tells whether the
network has seen rendered faces only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from facerec.core import FormatError


@dataclass(frozen=True)
class TrainingSet:
    """A face set that a network was trained on; `rendered` where its people do not exist."""

    name: str
    rendered: bool


def merged_training_sets(
    before: tuple[TrainingSet, ...] | None, now: Iterable[TrainingSet]
) -> tuple[TrainingSet, ...] | None:
    """Training sets after more training: those `before` and those of `now`, each once, sorted; None (unknown) stays."""
    if before is None:
        return None
    return tuple(sorted({*before, *now}, key=lambda each: (each.name, each.rendered)))


def only_rendered(sets: tuple[TrainingSet, ...] | None) -> bool:
    """Whether a network is known to have seen rendered faces only."""
    return bool(sets) and all(each.rendered for each in sets or ())


def describe_training_sets(sets: tuple[TrainingSet, ...] | None) -> list[str] | str:
    """The names for a report, or "unknown".

    >>> describe_training_sets((TrainingSet("synth_people", True), TrainingSet("ms1m_arcface", False)))
    ['synth_people (synthetic)', 'ms1m_arcface']
    """
    if sets is None:
        return "unknown"
    return [f"{each.name} (synthetic)" if each.rendered else each.name for each in sets]


def training_sets_to_plain(sets: tuple[TrainingSet, ...] | None) -> list[dict[str, Any]] | None:
    """Plain values for weight files and JSON; `parse_training_sets` reads them back."""
    return None if sets is None else [asdict(each) for each in sets]


def parse_training_sets(values: Any, origin: str) -> tuple[TrainingSet, ...] | None:
    """Read what `training_sets_to_plain` gave; FormatError that names `origin` when it is anything else."""
    try:
        return _ADAPTER.validate_python(values)
    except ValidationError as error:
        raise FormatError(f"What {origin} says of its training sets is damaged; train or export again.") from error


_ADAPTER = TypeAdapter(tuple[TrainingSet, ...] | None)
