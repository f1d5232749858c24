"""Decisions about training faces: one YAML that `facerec clean` and `facerec overlap` propose and training obeys.

    decisions:
    - {set: celeba, photo: 7201/001085.jpg, action: leave-out, reason: foreign, like: '7205', similarity: 0.12}
    - {set: celeba, identity: Ann_Smith, action: merge, reason: two-names, like: Ann Smith, similarity: 0.81}
    - {set: celeba, identity: Bob_Jones, action: keep, reason: overlap, like: Bob_Jones, similarity: 0.55}

A decision is about a photo, or about an identity with all its photos. A person reviews the file by changing actions:
"leave-out", "keep", or "merge", which trains the identity and the one it is `like` as one class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from facerec.core import FormatError, parse_yaml, require_path, write_text
from facerec.store.shards import Shards

Action = Literal["leave-out", "keep", "merge"]
_HEADER = "# Change an action to keep, leave-out or merge, and training obeys it (docs/cleaning.md).\n"
_LONGEST = 1_000_000  # characters of a line, so that a decision stays on its own


@dataclass(frozen=True)
class Decision:
    """What happens to a photo or an identity of a face set.

    Attributes:
        set: name of the face set.
        action: what training does.
        reason: why, such as "overlap", "foreign", "two-names", "duplicate" or "unusable".
        identity: name of the identity; "" where the decision is about a photo.
        photo: path of the photo inside its set; "" where the decision is about an identity.
        like: the identity or photo that it resembles; "" for none.
        similarity: cosine that led to the decision; None where there was none.
    """

    set: str
    action: Action
    reason: str
    identity: str = ""
    photo: str = ""
    like: str = ""
    similarity: float | None = None

    # Read by pydantic, which ignores neither unknown keys nor numbers where text belongs.
    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    def __post_init__(self) -> None:
        if bool(self.identity) == bool(self.photo):
            raise FormatError(f"a decision about {self.set} names an identity or a photo, and not both")
        if self.action == "merge" and not (self.identity and self.like):
            raise FormatError(f"merge in {self.set} takes an identity and the one it is like")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without those that say nothing."""
        subject = {"photo": self.photo} if self.photo else {"identity": self.identity}
        plain = {"set": self.set, **subject, "action": self.action, "reason": self.reason}
        plain |= {"like": self.like} if self.like else {}
        return plain if self.similarity is None else plain | {"similarity": round(self.similarity, 4)}

    @property
    def subject(self) -> tuple[str, ...]:
        """What it is about and why, by which a reviewed decision is found again."""
        return self.set, self.identity, self.photo, self.reason


@dataclass(frozen=True)
class Decisions:
    """Decisions and how they came about: `made` has plain values such as the digest of the network and the cut."""

    decisions: tuple[Decision, ...]
    made: Mapping[str, Any] = field(default_factory=dict)

    def reviewed(self, earlier: Decisions) -> Decisions:
        """The same decisions with the actions that a person chose in an `earlier` file."""
        actions = {each.subject: each.action for each in earlier.decisions}
        chosen = (replace(each, action=actions.get(each.subject, each.action)) for each in self.decisions)
        return replace(self, decisions=tuple(chosen))

    def likes(self, reason: str) -> set[str]:
        """What the decisions with this reason, but for those to keep, are like: of "overlap", people of the benchmark."""
        return {each.like for each in self.decisions if each.reason == reason and each.action != "keep"}

    def of_set(self, name: str) -> list[Decision]:
        """Those about face set `name` that change something."""
        return [each for each in self.decisions if each.set == name and each.action != "keep"]

    @property
    def sets(self) -> list[str]:
        """Names of the face sets that it is about."""
        return sorted({each.set for each in self.decisions})


_FILE = TypeAdapter(Decisions)


def write_decisions(decisions: Decisions, path: str | Path) -> None:
    """Write the YAML, a line a decision."""
    import yaml  # only here, since training does not write

    def line(value: Any) -> str:
        return yaml.safe_dump(value, sort_keys=False, default_flow_style=True, width=_LONGEST, allow_unicode=True)

    lines = [f"made: {line(dict(decisions.made))}decisions:{'' if decisions.decisions else ' []'}\n"]
    lines += [f"- {line(each.to_dict())}" for each in decisions.decisions]
    write_text(path, _HEADER + "".join(lines))


def put_decisions(proposed: Decisions, path: str | Path, reviewed: str | Path | None = None) -> Decisions:
    """Write proposals with the actions of the file or folder `reviewed`, if given; what was written."""
    decided = proposed if reviewed is None else proposed.reviewed(read_decisions(reviewed))
    write_decisions(decided, path)
    return decided


def read_decisions(path: str | Path) -> Decisions:
    """Read a file of decisions, or all .yaml files in a folder; FormatError names what is wrong in which file."""
    path = require_path(path, "write it with `facerec clean` or `facerec overlap`")
    files = sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
    if not files:
        raise FormatError(f"{path} holds no .yaml of decisions; write one with `facerec clean` or `facerec overlap`.")
    parts = [_read(file) for file in files]
    return Decisions(tuple(each for part in parts for each in part.decisions), parts[0].made if len(parts) == 1 else {})


def _read(path: Path) -> Decisions:
    values = parse_yaml(path.read_bytes(), str(path))
    try:
        return _FILE.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise FormatError(
            f"{path} holds no decisions as `facerec clean` writes them ({place}: {first['msg']})."
        ) from error
    except FormatError as error:
        raise FormatError(f"{path} cannot be obeyed: {str(error).rstrip('.')}.") from error


def decided_labels(shards: Shards, labels: NDArray[np.int64], decisions: Sequence[Decision]) -> NDArray[np.int64]:
    """The `labels` (n,) of a face set after the decisions about it: merged identities share one, -1 is left out.

    An identity that is left out takes those along that are merged with it, since they are one person. Raises FormatError
    for a photo or an identity that the set does not hold.
    """
    rows = {source: row for row, source in enumerate(shards.sources)}
    known, places = np.unique(labels, return_inverse=True)
    people = dict(zip(shards.identities, places.tolist(), strict=True))
    groups = Groups(len(known))

    def find(held: Mapping[str, int], name: str) -> int:
        if name not in held:
            raise FormatError(
                f"a decision is about {name!r}, which {shards.path} does not hold; make the decisions again for this set."
            )
        return held[name]

    for each in (each for each in decisions if each.action == "merge"):
        groups.join(find(people, each.identity), find(people, each.like))
    together = np.array([groups.first(person) for person in range(len(known))], np.int64)
    left_out = [
        groups.first(find(people, each.identity)) for each in decisions if each.identity and each.action == "leave-out"
    ]
    decided: NDArray[np.int64] = known[together][places]
    decided[np.isin(together, left_out)[places]] = -1
    decided[[find(rows, each.photo) for each in decisions if each.photo]] = -1
    return decided


class Groups:
    """Numbers 0..n-1 in groups that grow; the first of a group is that which the others were joined to.

    >>> groups = Groups(4)
    >>> groups.join(0, 1), groups.join(2, 0), groups.join(1, 2), [groups.first(number) for number in range(4)]
    (True, True, False, [1, 1, 1, 3])
    """

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def first(self, number: int) -> int:
        """The first of the group of a number."""
        while self._parents[number] != number:
            number = self._parents[number]
        return number

    def join(self, number: int, other: int) -> bool:
        """Join the group of `number` to that of `other`; whether they were apart."""
        mine, theirs = self.first(number), self.first(other)
        self._parents[mine] = theirs
        return mine != theirs


def require_names(shards: Shards) -> None:
    """Raise FormatError where the identity of a face is unknown, so that nothing can be decided about it."""
    if (shards.labels < 0).any():
        raise FormatError(f"{shards.path} holds faces of unknown identity, about which nothing can be decided.")
