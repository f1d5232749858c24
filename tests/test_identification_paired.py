"""Two identification runs: metrics equal those of the result, intervals those of its bootstrap, p-values are honest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facerec.core import FormatError
from facerec.evaluation import comparison
from facerec.evaluation.identification import identify
from facerec.evaluation.identification.result import (
    IdentificationBootstrap,
    IdentificationResult,
    IdentificationRun,
    Separation,
)
from facerec.evaluation.statistics.significance import Trials
from facerec.store.embeddings import normalise

FPRS = (1e-2, 1e-3)


def result(seed: int, noise: float = 0.5, people: int = 12) -> IdentificationResult:
    """Five probes a person among 80 distractors, as a network with so much noise sees them."""
    rng = np.random.default_rng(7)
    labels = np.repeat(np.arange(people), 5)
    rows, strangers = rng.normal(size=(people, 12))[labels], rng.normal(size=(80, 12))
    rng = np.random.default_rng([7, seed])
    probes = normalise(rows + noise * rng.normal(size=rows.shape)).astype(np.float32)
    probes[3] = np.nan
    return identify(probes, labels, normalise(strangers).astype(np.float32), FPRS)


def run(found: IdentificationResult) -> IdentificationRun:
    return IdentificationRun(found.ranks, found.separation, np.bincount(found.identity))


def ranked(ranks: np.ndarray) -> IdentificationRun:
    """A run that knows only ranks, of `ranks` (people, pairs)."""
    nothing = np.zeros(0, dtype=np.int64)
    apart = Separation(nothing, nothing, nothing.astype(bool), nothing, nothing, 0, 1)
    return IdentificationRun(ranks.ravel(), apart, np.full(len(ranks), 3))


def test_figures_are_those_of_the_runs() -> None:
    one, other = result(1), result(2)
    found = comparison.compare_identification(run(one), run(other), one.identity[one.probe], FPRS, Trials(100))
    assert (found.headline, found.unit, found.units, found.pairs) == ("rank1", "identities", 12, 240)
    assert list(found.metrics) == ["rank1", "tpr@1e-2", "tpr@1e-3"]
    assert (found.metrics["rank1"].first, found.metrics["rank1"].second) == (one.rank1, other.rank1)
    assert found.metrics["tpr@1e-3"].second == other.tpr[1e-3]
    assert all(d.low <= d.difference <= d.high for d in found.metrics.values())


def test_against_nothing_the_interval_is_that_of_the_run_alone() -> None:
    one = result(1)
    blind = replace(one.separation, enrolled=np.zeros(len(one.separation.identity), dtype=bool))
    none = IdentificationRun(np.full(one.pairs, 9), blind, np.bincount(one.identity))
    found = comparison.compare_identification(
        none, run(one), one.identity[one.probe], FPRS, Trials(150, seed=3)
    ).metrics
    alone = IdentificationBootstrap(one, 150, 3)
    low, high = alone.cmc([1])
    assert (found["rank1"].low, found["rank1"].high) == pytest.approx((low[0], high[0]))
    low, high = alone.roc(FPRS)
    for place, name in enumerate(("tpr@1e-2", "tpr@1e-3")):
        assert (found[name].low, found[name].high) == pytest.approx((low[place], high[place]))


def test_equal_runs_and_swapped_runs() -> None:
    one, other = run(result(1)), run(result(2))
    identity = result(1).identity[result(1).probe]
    same = comparison.compare_identification(one, one, identity, FPRS, Trials(100))
    assert same.equal
    assert all((d.difference, d.low, d.high, d.p) == (0, 0, 0, 1) for d in same.metrics.values())
    there, back = (
        comparison.compare_identification(*runs, identity, FPRS, Trials(100)) for runs in ((one, other), (other, one))
    )
    assert not there.equal
    for name, found in there.metrics.items():
        turned = back.metrics[name]
        assert (turned.difference, turned.p) == (-found.difference, found.p)
        assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


def test_a_better_network_is_seen() -> None:
    bad, good = result(1, 0.8), result(1, 0.3)
    found = comparison.compare_identification(run(bad), run(good), bad.identity[bad.probe], FPRS, Trials(200)).metrics
    assert all(each.p < 0.02 and each.low > 0 for each in found.values())


def test_p_values_of_equally_good_networks_are_about_uniform() -> None:
    """A person's pairs fail together, so that taking pairs as independent would find differences everywhere."""
    rng = np.random.default_rng(0)
    identity, p = np.repeat(np.arange(40), 6), []
    for _ in range(400):
        chances = rng.beta(1, 1, size=(2, 40, 1))  # of each network with each person
        one, other = (ranked((rng.random((40, 6)) > chance).astype(np.int64)) for chance in chances)
        p.append(comparison.compare_identification(one, other, identity, (), Trials(200)).metrics["rank1"].p)
    values = np.array(p)
    assert values.mean() == pytest.approx(0.5, abs=0.06)  # four standard errors
    for level in (0.05, 0.1, 0.5):
        error = 4 * np.sqrt(level * (1 - level) / 400)
        assert (values < level).mean() == pytest.approx(level, abs=error + 0.01)


def test_what_does_not_fit_is_refused() -> None:
    one = result(1)
    with pytest.raises(FormatError, match="same 239 pairs"):
        comparison.compare_identification(run(one), run(one), one.identity[one.probe][1:])
