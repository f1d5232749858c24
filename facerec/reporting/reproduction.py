"""Whether two runs left the same bytes, by what dvc.lock records of them, and if not, where they part and why.

    found = compare_locks(there, here)
    "\n".join(verdict_lines(found, likely_reasons(there, here)))

Only records are compared. Whether the files in the workspace are those that its dvc.lock records says `dvc status`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from facerec.core import PORTABLE, FormatError, describe_arithmetic, parse_yaml, torch_device
from facerec.reporting.provenance import LIBRARIES

_CODE = ("facerec", "stages", "synthfaces")  # folders; any other .py file is code too
_SHOWN = 5  # names in a sentence, then a count
_UNKNOWN = "unknown; please report it with the output of `facerec reproduced --json`"
_BASELINE = "To compare runs made here, commit this one as a baseline first; see docs/reproducing.md."


@dataclass(frozen=True)
class StageRecord:
    """A stage as it ran: its command, the digests of its dependencies and outputs by path, parameters by dotted key."""

    command: str
    deps: Mapping[str, str]
    params: Mapping[str, Any]
    outs: Mapping[str, str]

    def same_inputs(self, other: StageRecord) -> bool:
        """Whether both ran with the same command, dependencies and parameters."""
        return (self.command, self.deps, self.params) == (other.command, other.deps, other.params)


@dataclass(frozen=True)
class RecordedRun:
    """A run as its files in git record it.

    Attributes:
        name: "workspace", or the revision with its commit, as in "HEAD (1a2b3c4)".
        stages: those of its graph that ran, by name.
        arithmetic: the kind of machine it was computed on (`facerec.core.describe_arithmetic`), where known.
        versions: of the packages it was to use, by name.
    """

    name: str
    stages: Mapping[str, StageRecord]
    arithmetic: str | None = None
    versions: Mapping[str, str] | None = None


@dataclass(frozen=True)
class LockComparison:
    """The workspace beside the run at a revision.

    Attributes:
        revision: name of that run.
        outputs: number of outputs of both.
        differing: paths of outputs that differ or that only one of them has.
        first: stages whose inputs are equal and whose outputs differ all the same -> those outputs.
        following: other stages whose outputs differ.
        parameters: those that differ, by dotted key.
        code: files and folders of code that differ.
        inputs: other files that no stage makes and that differ.
        only_here, only_there: stages that only the workspace, or only the other run, has.
    """

    revision: str
    outputs: int
    differing: list[str]
    first: dict[str, list[str]]
    following: list[str]
    parameters: list[str]
    code: list[str]
    inputs: list[str]
    only_here: list[str]
    only_there: list[str]

    @property
    def reproduced(self) -> bool:
        """Whether all outputs have the same bytes."""
        return not self.differing


def record_run(
    revision: str, commit: str, lock: str, names: Iterable[str], arithmetic: str | None = None, constraints: str = ""
) -> RecordedRun:
    """A run by the content of its dvc.lock and constraints.txt; `names` are the stages of its graph.

    Raises FormatError for a dvc.lock that is damaged or records none of them.
    """
    known = commit.startswith(revision) or not commit
    name = revision if known else f"{revision} ({commit[:7]})"
    versions = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", constraints, re.MULTILINE))
    try:
        recorded = parse_yaml(lock, "dvc.lock")["stages"]
        stages = {stage: _parse_stage(recorded[stage]) for stage in names if stage in recorded}
    except (FormatError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(
            f"dvc.lock of {name} is damaged; `git checkout dvc.lock` brings back the committed one, `dvc repro` makes it anew."
        ) from error
    if not stages:
        raise FormatError(f"dvc.lock of {name} records no stage of its dvc.yaml; `dvc repro` runs them.")
    return RecordedRun(name, stages, arithmetic, versions)


def _parse_stage(recorded: Mapping[str, Any]) -> StageRecord:
    params = {
        key if file == "params.yaml" else f"{file}:{key}": value
        for file, values in recorded.get("params", {}).items()
        for key, value in _flatten(values)
    }
    return StageRecord(recorded["cmd"], _digests(recorded.get("deps", [])), params, _digests(recorded.get("outs", [])))


def _digests(recorded: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {each["path"]: each[each.get("hash", "md5")] for each in recorded}


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def compare_locks(there: RecordedRun, here: RecordedRun) -> LockComparison:
    """Compare the run `here` with the one to be reproduced."""
    shared = [stage for stage in there.stages if stage in here.stages]
    pairs = [(stage, there.stages[stage], here.stages[stage]) for stage in shared]
    differing = {stage: _changed(one.outs, other.outs) for stage, one, other in pairs if one.outs != other.outs}
    first = [stage for stage, one, other in pairs if stage in differing and one.same_inputs(other)]
    only_there, only_here = ([stage for stage in run.stages if stage not in shared] for run in (there, here))
    lone = [
        path
        for run, names in ((there, only_there), (here, only_here))
        for name in names
        for path in run.stages[name].outs
    ]
    made = [{path for stage in run.stages.values() for path in stage.outs} for run in (there, here)]
    changed = _ordered(path for _, one, other in pairs for path in _changed(one.deps, other.deps))
    given = [path for path in changed if not _is_made(path, made[0] | made[1])]
    edited = ["dvc.yaml"] if any(one.command != other.command for _, one, other in pairs) else []
    return LockComparison(
        revision=there.name,
        outputs=len(made[0] | made[1]),
        differing=_ordered([*(path for paths in differing.values() for path in paths), *lone]),
        first={stage: differing[stage] for stage in first},
        following=[stage for stage in differing if stage not in first],
        parameters=_ordered(key for _, one, other in pairs for key in _changed(one.params, other.params)),
        code=[*(path for path in given if _is_code(path)), *edited],
        inputs=[path for path in given if not _is_code(path)],
        only_here=only_here,
        only_there=only_there,
    )


def _changed(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Keys with other values, or in one mapping only."""
    lacking = object()
    return [key for key in {**one, **other} if one.get(key, lacking) != other.get(key, lacking)]


def _ordered(names: Iterable[str]) -> list[str]:
    """Each once, in the order of the graph."""
    return list(dict.fromkeys(names))


def _is_made(path: str, outputs: Iterable[str]) -> bool:
    """Whether a dependency is an output, lies in one, or is a folder of them."""
    return any(path == out or path.startswith(f"{out}/") or out.startswith(f"{path}/") for out in outputs)


def _is_code(path: str) -> bool:
    return path.endswith(".py") or path.partition("/")[0] in _CODE


def likely_reasons(there: RecordedRun, here: RecordedRun) -> list[str]:
    """What about this machine, or that of the run `there`, makes other bytes of equal inputs; the likeliest first."""
    now = describe_arithmetic(torch_device().type), describe_arithmetic()
    reasons = [f"the workspace was computed on {kind}" for kind in _other_kinds(*_kinds(here), *now)]
    reasons += [f"the run at {there.name} was computed on {kind}" for kind in _other_kinds(*_kinds(there))]
    return [*reasons, *_other_versions(there.versions or {})]


def _kinds(run: RecordedRun) -> list[str]:
    """The kinds of machine that a summary names, separated by commas."""
    return (run.arithmetic or PORTABLE).split(", ")


def _other_kinds(*kinds: str) -> list[str]:
    return [kind for kind in _ordered(kinds) if kind != PORTABLE]


def _other_versions(wanted: Mapping[str, str]) -> Iterator[str]:
    """Libraries of another version here than `wanted`; one that is not here computed nothing."""
    found = {each.name.lower(): each.version.partition("+")[0] for each in metadata.distributions() if each.name}
    for name in LIBRARIES:
        if name in wanted and name in found and found[name] != wanted[name]:
            yield f"{name} is {found[name]} here and {wanted[name]} in constraints.txt"


def verdict_lines(found: LockComparison, reasons: Sequence[str]) -> list[str]:
    """The verdict in sentences, one a line."""
    if found.reproduced:
        return [f"All {found.outputs:,} outputs have the bytes of the run at {found.revision}."]
    lines = [f"{len(found.differing):,} of {found.outputs:,} outputs differ from those of the run at {found.revision}."]
    for names, told in (
        (
            found.parameters,
            "This is another experiment; only with equal parameters can bytes be equal, and these differ",
        ),
        (found.code, "The code is not the same"),
        (found.inputs, "Files that no stage makes are not the same"),
        (found.only_there, f"Stages that only the run at {found.revision} has"),
        (found.only_here, "Stages that only the workspace has"),
    ):
        if names:
            lines.append(f"{told}: {_few(names)}.")
    if found.first:
        lines += ["First to differ, although their inputs are equal:", *_first_lines(found)]
        lines += [f"The likely reason: {'; '.join(reasons) or _UNKNOWN}.", *([_BASELINE] if reasons else [])]
    return lines


def _first_lines(found: LockComparison) -> list[str]:
    """A line for each stage with its outputs, then counts."""
    lines = [f"  {stage}: {_few(outputs)}" for stage, outputs in found.first.items()]
    if (more := len(lines) - _SHOWN) > 0:
        lines[_SHOWN:] = [f"  and {more:,} more"]
    following = len(found.following)
    return [*lines, *([f"Stages that differ after these: {following:,}."] if following else [])]


def verdict_as_dict(found: LockComparison, reasons: Sequence[str]) -> dict[str, Any]:
    """The verdict for JSON."""
    return {"reproduced": found.reproduced, **asdict(found), "reasons": list(reasons)}


def _few(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
