"""Comparison of two runs on every benchmark they share, by the result records and scores they left.

Pairs are matched by the names of their photos. A benchmark on which two runs cannot be compared is listed with the
reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from facerec.core import FacerecError, FormatError, ParamsError, parse_json, rate_name, track
from facerec.evaluation.identification import outcomes
from facerec.evaluation.identification.result import Doubles, IdentificationRun, Ints
from facerec.evaluation.statistics.bootstrap import identity_weights
from facerec.evaluation.statistics.significance import DEFAULT_TRIALS, RunComparison, Trials, summarise_difference
from facerec.evaluation.verification import paired as verification
from facerec.store import tables
from facerec.store.embeddings import SCORES

RESULT = "result.json"
_NAMES = dict.fromkeys(("first", "second", "first_identity", "second_identity"), pa.string())
_SCORES = pa.schema({**_NAMES, "same": pa.bool_(), "distance": pa.float64(), "fold": pa.int32()})


@dataclass(frozen=True)
class Side:
    """One of the two runs.

    Attributes:
        name: for people.
        folder: holds a folder of scores for each benchmark.
        arithmetic: the kind of machine it was computed on (`facerec.core.describe_arithmetic`), where known.
    """

    name: str
    folder: Path
    arithmetic: str | None = None

    def benchmarks(self) -> set[str]:
        """Names of the benchmarks with a result."""
        return {path.parent.name for path in self.folder.glob(f"*/{RESULT}")}


@dataclass(frozen=True)
class ComparedRuns:
    """Benchmarks that were compared, verification first, and the reason why others were not."""

    benchmarks: dict[str, RunComparison]
    omitted: dict[str, str]


class _IncomparableError(FacerecError):
    """The reason why two runs cannot be compared on a benchmark."""


@dataclass(frozen=True)
class _Scores:
    """The result of one run on one benchmark, and the folder of its scores."""

    run: str
    folder: Path
    result: dict[str, Any]


_Both = tuple[_Scores, _Scores]


def compare_runs(first: Side, second: Side, trials: Trials = DEFAULT_TRIALS, only: Sequence[str] = ()) -> ComparedRuns:
    """Compare two runs on all their benchmarks, or on those named in `only`.

    Raises ParamsError for a name that neither run knows, and FormatError for damaged scores.
    """
    judged = first.benchmarks() | second.benchmarks()
    for name in only:
        if name not in judged:
            known = ", ".join(sorted(judged)) or "there are none"
            raise ParamsError(f"neither run judged a benchmark {name} ({known}).")
    compared, omitted = {}, {}
    for name in track(sorted(set(only) or judged), "compare", unit="benchmarks"):
        try:
            compared[name] = _compare(name, first, second, trials)
        except _IncomparableError as reason:
            omitted[name] = str(reason)
    ordered = sorted(compared, key=lambda name: (compared[name].headline, name))
    return ComparedRuns({name: compared[name] for name in ordered}, omitted)


def _compare(name: str, first: Side, second: Side, trials: Trials) -> RunComparison:
    for side, other in ((first, second), (second, first)):
        if name not in side.benchmarks():
            raise _IncomparableError(f"only {other.name} has it")
    both = (_read_result(name, first), _read_result(name, second))
    kinds = ["accuracy" in scores.result for scores in both]
    if kinds[0] != kinds[1]:
        raise _IncomparableError("it is verification in one run and identification in the other")
    try:
        return (_verification if kinds[0] else _identification)(both, trials)
    except (KeyError, TypeError) as error:
        raise FormatError(f"the results of {name} are not whole ({error}); run `dvc repro`.") from error


def _read_result(name: str, side: Side) -> _Scores:
    folder = side.folder / name
    try:
        found = parse_json((folder / RESULT).read_bytes(), f"{folder / RESULT}")
    except (OSError, FormatError) as error:
        raise FormatError(f"cannot read the result of {name} in {side.name} ({error}).") from error
    if not isinstance(found, dict):
        raise FormatError(f"the result of {name} in {side.name} is no mapping; run `dvc repro`.")
    return _Scores(side.name, folder, found)


def _verification(both: _Both, trials: Trials) -> RunComparison:
    _refuse_old(both, ["protocol" in scores.result for scores in both])
    protocol = _shared(both, "judged by protocol", [scores.result["protocol"] for scores in both])
    (keys, people, first), (other_keys, other_people, second) = (_read_run(scores) for scores in both)
    _refuse_other_pairs(both, (keys, other_keys))
    known = other_people | people
    first_photos, second_photos, same = zip(*keys, strict=True)
    left, right = ([known.get(photo, "") for photo in photos] for photos in (first_photos, second_photos))
    pairs = verification.ComparedPairs(np.array(same), left, right)
    targets = sorted({scores.result["far_target"] for scores in both})
    fars = [far for far in targets if f"tar@{rate_name(far)}" in first.metrics.keys() & second.metrics.keys()]
    return verification.compare_verification(first, second, pairs, protocol, fars, trials)


def _read_run(scores: _Scores) -> tuple[list[tuple[str, str, bool]], dict[str, str], verification.VerificationRun]:
    """Pairs by the names of their photos, sorted, with truth; the identity of each photo; the run in that order."""
    table = tables.read_parquet(scores.folder / SCORES, _SCORES)
    if any(table[column].null_count for column in ("same", "distance", "fold")):
        raise FormatError(f"some pairs of {scores.folder.name} in {scores.run} have no score; run `dvc repro`.")
    first, second, *identities = ([name or "" for name in table[column].to_pylist()] for column in _NAMES)
    named = zip([*first, *second], [*identities[0], *identities[1]], strict=True)
    people = {photo: person for photo, person in named if photo and person}
    keys = [(min(a, b), max(a, b), same) for a, b, same in zip(first, second, table["same"].to_pylist(), strict=True)]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    distances, folds = (table[column].to_numpy()[order] for column in ("distance", "fold"))
    result = scores.result
    metrics = {key: result[key] for key in ("accuracy", "auc", "eer", *(key for key in result if "tar@" in key))}
    if result["tar_supported"]:
        metrics[f"tar@{rate_name(result['far_target'])}"] = result["tar"]
    run = verification.VerificationRun(distances, folds.astype(np.int64), metrics)
    return [keys[row] for row in order], people, run


def _identification(both: _Both, trials: Trials) -> RunComparison:
    _refuse_old(both, [outcomes.has_outcomes(scores.folder, "cleaned") for scores in both])
    _shared(both, "cleaned of noise by variant", [scores.result["cleaned"]["noise"] for scores in both])
    cleaned, raw = (_ranked(both, run, trials) for run in ("cleaned", "raw"))
    metrics = {**cleaned.metrics, "rank1_raw": raw.metrics["rank1"]}
    return replace(cleaned, metrics=metrics, equal=cleaned.equal and raw.equal)


def _ranked(both: _Both, run: str, trials: Trials) -> RunComparison:
    results = [scores.result[run] for scores in both]
    distractors = _shared(both, "ranked among distractors, in number", [each["distractors"] for each in results])
    first, second = (outcomes.read_outcomes(scores.folder, run, distractors) for scores in both)
    _refuse_other_pairs(both, (first.pairs, second.pairs))
    if first.people != second.people:
        raise _IncomparableError("its probes show other people")
    rates = [key for key in results[0] if key.startswith("tpr@") and key in results[1]]
    fprs = sorted((float(key.removeprefix("tpr@")) for key in rates if run == "cleaned"), reverse=True)
    return compare_identification(first, second, first.identity, fprs, trials)


def _shared(both: _Both, what: str, values: Sequence[Any]) -> Any:
    """The value that both share; otherwise they cannot be compared."""
    if values[0] != values[1]:
        told = " and ".join(f"{value} in {scores.run}" for scores, value in zip(both, values, strict=True))
        raise _IncomparableError(f"it is {what} {told}")
    return values[0]


def _refuse_old(both: _Both, complete: Sequence[bool]) -> None:
    for scores, whole in zip(both, complete, strict=True):
        if not whole:
            raise _IncomparableError(f"the scores in {scores.run} are of an older facerec; run `dvc repro` there")


def _refuse_other_pairs(both: _Both, keys: Sequence[Sequence[Any]]) -> None:
    here, there = (Counter(each) for each in keys)
    told = [
        f"{(one - other).total():,} of {one.total():,} are only in {scores.run}"
        for scores, one, other in ((both[0], here, there), (both[1], there, here))
    ]
    if here != there:
        raise _IncomparableError(f"its pairs differ: {' and '.join(told)}")


def compare_identification(
    first: IdentificationRun,
    second: IdentificationRun,
    identity: Ints,
    fprs: Sequence[float] = (),
    trials: Trials = DEFAULT_TRIALS,
) -> RunComparison:
    """Compare two runs by rank-1 and by the true positive rate at `fprs`; pair i is of identity[i].

    Raises FormatError when the runs do not fit the pairs.
    """
    if not len(first.ranks) == len(second.ranks) == len(identity):
        raise FormatError(f"both runs must have ranked the same {len(identity)} pairs.")
    draws = identity_weights(len(first.probes), trials.count, trials.seed)
    outcomes_of = ((run.ranks, run.separation.false_positives, run.separation.tail_identity) for run in (first, second))
    names = ("rank1", *(f"tpr@{rate_name(fpr)}" for fpr in fprs))
    here, there = (run.metrics(fprs) for run in (first, second))
    drawn = _trials(second, draws, identity, fprs) - _trials(first, draws, identity, fprs)
    return RunComparison(
        headline="rank1",
        metrics={
            name: summarise_difference(here[k], there[k], drawn[:, k], trials.level) for k, name in enumerate(names)
        },
        pairs=len(identity),
        unit="identities",
        units=len(np.unique(identity)),
        equal=all(map(np.array_equal, *outcomes_of)),
    )


def _trials(run: IdentificationRun, draws: Doubles, identity: Ints, fprs: Sequence[float]) -> Doubles:
    rank1 = run.cmc_trials(draws, identity, [1])
    return np.hstack([rank1, run.tpr_trials(draws, fprs)]) if fprs else rank1
