"""Why a result may say nothing: reasons found in its own numbers, told beside them in tables, JSON and the report.

A benchmark can be so small, so lopsided or so full of repetitions and failures that its accuracy is high, and narrow
its interval, whatever the network does. docs/benchmarks.md explains each note and what to do.

>>> doubts_of_verification({"pairs": 200, "genuine": 1, "auc_low": 1.0, "auc_high": 1.0, "accuracy_low": 0.98})
['only 1 of 200 pairs is genuine, so that calling all of them different people would be right in 99.5 %']
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_CHANCE = 0.55  # an accuracy whose interval reaches below this could be luck
FEW_PAIRS = 20
"""Fewer pairs of a kind are too few for a rate of them."""
FEW_PEOPLE = 10
"""Fewer people are too few to speak of others."""
_LOPSIDED = 0.9  # share of the more frequent kind
_REPEATED = 0.05
_FAILED = 0.2
_CONTRADICTING = 0.05

Metrics = Mapping[str, Any]


def doubts_of_verification(metrics: Metrics) -> list[str]:
    """Sentences on the flat metrics of a verification; none where the benchmark is sound."""
    return [*_chance(metrics), *_kinds(metrics), *_repetition(metrics), *_failures(metrics)]


def doubts_of_identification(metrics: Metrics) -> list[str]:
    """Sentences on the flat metrics of an identification; none where its sets are sound."""
    found = []
    if 0 < metrics["people"] < FEW_PEOPLE:
        found.append(f"the pairs show only {metrics['people']} people, too few to speak of others")
    if metrics["repeated_probes"] > _REPEATED:
        found.append(
            f"{_percent(metrics['repeated_probes'])} of the probes have the features of another probe, and a copy finds "
            "its mate whatever the network does"
        )
    for who in ("probe", "distractor"):
        share = metrics[f"{who}_failures"] / metrics[f"{who}s"]
        if share > _FAILED:
            judged = "their pairs count as errors" if who == "probe" else "which makes the search easier"
            found.append(f"{_percent(share)} of the {who}s have no features; {judged}")
    return found


def doubts_of_open_set(metrics: Metrics) -> list[str]:
    """Sentences on the flat metrics of an open-set evaluation; none where it is sound."""
    found = []
    if (tied := metrics.get("tied_probes", 0)) > _REPEATED:
        found.append(
            f"in {_percent(tied)} of the searches another person scores exactly as the right one does, which counts as "
            "found, so the embeddings are not worth measuring"
        )
    if (few := metrics.get("genuine_probes", FEW_PAIRS)) < FEW_PAIRS:
        found.append(f"a trial has only {few} probes of people in the gallery, too few for a rate")
    if (share := metrics["failures"] / metrics["photos"]) > _REPEATED:
        found.append(
            f"{_percent(share)} of the photos have no face and count as errors; see why with `facerec inspect`"
        )
    return found


def _chance(metrics: Metrics) -> Iterator[str]:
    low, high = metrics["accuracy_low"], metrics.get("accuracy_high", 1.0)
    if metrics["auc_high"] < 1 - _CHANCE:
        yield (
            f"impostor pairs are more alike than genuine ones (AUC {metrics['auc_low']:.2f} to {metrics['auc_high']:.2f}), "
            "so the truth of the pairs is probably swapped: 1 or true must mean the same person"
        )
    elif low < _CHANCE:
        yield (
            f"an accuracy of {100 * low:.0f} to {100 * high:.0f} % is near chance (50 %). Unless the network has hardly been "
            "trained, one of these is wrong: the alignment (look at `facerec inspect FACES --sheet`), the order of colours, "
            "the preprocessing declared for the network, or which pairs belong to these faces; see docs/troubleshooting.md"
        )


def _kinds(metrics: Metrics) -> Iterator[str]:
    pairs, genuine = metrics["pairs"], metrics["genuine"]
    fewer, kind, other = min(
        (genuine, "genuine", "different people"), (pairs - genuine, "of different people", "the same person")
    )
    verb = "is" if fewer == 1 else "are"
    if pairs - fewer > _LOPSIDED * pairs:
        yield (
            f"only {fewer:,} of {pairs:,} pairs {verb} {kind}, so that calling all of them {other} would be right in "
            f"{_percent(1 - fewer / pairs)}"
        )
    elif fewer < FEW_PAIRS:
        yield f"only {fewer:,} pairs {verb} {kind}, too few for an accuracy"
    if (share := metrics.get("contradicting_names", 0)) > _CONTRADICTING:
        yield (
            f"{_percent(share)} of the pairs contradict the names of their photos (one name for two people, or two for one), "
            "so the intervals do not use the names; look with `facerec inspect` how the identities were read"
        )
    people = metrics.get("people")
    if people is not None and people < FEW_PEOPLE:
        yield f"the pairs show only {people} people, too few to speak of others"


def _repetition(metrics: Metrics) -> Iterator[str]:
    if (share := metrics.get("repeated_pairs", 0)) > _REPEATED:
        yield (
            f"{_percent(share)} of the pairs compare the same two embeddings as another pair, or an embedding with itself, "
            "so there are fewer than it seems and the intervals are too narrow"
        )


def _failures(metrics: Metrics) -> Iterator[str]:
    genuine = metrics["genuine"]
    lost = metrics.get("failures_genuine", 0)
    for kind, failed, count in (
        ("genuine", lost, genuine),
        ("impostor", metrics.get("failures", 0) - lost, metrics["pairs"] - genuine),
    ):
        if failed > _FAILED * count:
            judged = "error" if kind == "genuine" else "success"
            yield (
                f"{_percent(failed / count)} of the {kind} pairs lack a face and count as {judged} without being "
                "compared; see why with `facerec inspect` on the faces"
            )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
