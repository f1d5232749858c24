"""What a network has learnt from: the names of its training sets, and whether anybody in them exists.

They are kept in backbone.pt and in the metadata of its ONNX export, so that whoever gets either file, and nothing
else, can tell a network that has seen rendered faces only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from facerec.core import FormatError


@dataclass(frozen=True)
class TrainingSet:
    """A face set that a network was trained on."""

    name: str
    rendered: bool
    """Whether its faces are rendered, so that nobody in it exists."""


def merged_training_sets(
    before: tuple[TrainingSet, ...] | None, now: Iterable[TrainingSet]
) -> tuple[TrainingSet, ...] | None:
    """The sets of a network that knew `before` and learnt from `now`, each once, sorted; None stays unknown."""
    if before is None:
        return None
    return tuple(sorted({*before, *now}, key=lambda each: (each.name, each.rendered)))


def only_rendered(sets: tuple[TrainingSet, ...] | None) -> bool:
    """Whether a network is known to have seen rendered faces and no others."""
    return bool(sets) and all(each.rendered for each in sets or ())


def describe_training_sets(sets: tuple[TrainingSet, ...] | None) -> list[str] | str:
    """The sets for people: ["synth_people (synthetic)", "ms1m_arcface"], or "unknown"."""
    if sets is None:
        return "unknown"
    return [f"{each.name} (synthetic)" if each.rendered else each.name for each in sets]


def training_sets_to_plain(sets: tuple[TrainingSet, ...] | None) -> list[dict[str, Any]] | None:
    """Plain values for weight files and JSON; `from_plain` reads them back."""
    return None if sets is None else [asdict(each) for each in sets]


def parse_training_sets(values: Any, origin: str) -> tuple[TrainingSet, ...] | None:
    """What `to_plain` gave; FormatError, which names `origin`, when it is anything else."""
    try:
        return _ADAPTER.validate_python(values)
    except ValidationError as error:
        raise FormatError(
            f"What {origin} says of its training sets is damaged; train or export again."
        ) from error


_ADAPTER = TypeAdapter(tuple[TrainingSet, ...] | None)
