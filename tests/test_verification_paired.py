"""Two verification runs: the protocol on drawn pairs is the protocol, and p-values mean what they say."""

from __future__ import annotations

import numpy as np
import pytest

from facerec.core import FormatError
from facerec.evaluation.statistics.significance import RunComparison, Trials
from facerec.evaluation.verification import evaluate, paired
from facerec.evaluation.verification.paired import WeightedPairs
from facerec.evaluation.verification.protocols import PROTOCOLS

FARS = (0.2, 0.05)


def world(people: int, each: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first, second, same): every person in `each` same and about 2 * `each` different pairs, folds mixed."""
    rng = np.random.default_rng(seed)
    first = np.repeat(np.arange(people), 2 * each)
    same = np.tile(np.arange(2 * each) < each, people)
    second = np.where(same, first, (first + rng.integers(1, people, len(first))) % people)
    order = rng.permutation(len(first))
    return first[order], second[order], same[order]


def distances(
    first: np.ndarray, second: np.ndarray, same: np.ndarray, seed: object, noise: float = 0.35, hard: float = 0.15
) -> np.ndarray:
    """Squared distances that a network might give, some people being hard for this network alone."""
    rng = np.random.default_rng(seed)
    person = hard * rng.normal(size=max(first.max(), second.max()) + 1)
    worse = (person[first] + person[second]) / 2
    values = np.where(same, 1.1 + worse, 1.8 - worse) + noise * rng.normal(size=len(first))
    return np.clip(values, 0, 4)


def run(values: np.ndarray, same: np.ndarray, count: int = 5) -> paired.VerificationRun:
    """A run in `count` folds."""
    folds = np.arange(len(values)) * count // len(values)
    judged = WeightedPairs(values, same, folds, PROTOCOLS["insightface"], FARS).metrics(np.ones((1, len(values))))[0]
    names = ("accuracy", "tar@2e-1", "tar@5e-2", "auc", "eer")
    return paired.VerificationRun(values, folds, dict(zip(names, judged.tolist(), strict=True)))


def named(first: np.ndarray, second: np.ndarray, same: np.ndarray) -> paired.ComparedPairs:
    return paired.ComparedPairs(same, [f"p{k}" for k in first], [f"p{k}" for k in second])


def compare(
    a: paired.VerificationRun, b: paired.VerificationRun, pairs: paired.ComparedPairs, trials: int = 200, seed: int = 1
) -> RunComparison:
    return paired.compare_verification(a, b, pairs, "insightface", FARS, Trials(trials, seed))


@pytest.mark.parametrize("protocol", ["insightface", "youden"])
def test_the_protocol_on_pairs_that_count_once_is_the_protocol(protocol: str) -> None:
    rng = np.random.default_rng(3)
    same = rng.permutation(np.arange(200) % 2 == 0)
    rows = np.repeat(rng.normal(size=(200, 8)), 2, axis=0)
    rows[1::2] = np.where(same[:, None], rows[1::2], rng.normal(size=(200, 8))) + 0.8 * rng.normal(size=(200, 8))
    rows[7] = np.nan
    result = evaluate(rows, same, protocol, fars=FARS)
    folds = np.repeat(np.arange(10), result.fold_sizes)
    found = WeightedPairs(result.distances, same, folds, PROTOCOLS[protocol], FARS).metrics(np.ones((1, 200)))
    expected = [result.accuracy, *(rate.tar for rate in result.rates), result.auc, result.eer]
    assert found[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("protocol", ["insightface", "youden"])
def test_the_protocol_on_drawn_pairs_is_the_protocol_on_pairs_written_out(protocol: str) -> None:
    rng = np.random.default_rng(4)
    same = rng.permutation(np.arange(100) % 2 == 0)
    rows = np.repeat(rng.normal(size=(100, 8)), 2, axis=0)
    rows[1::2] = np.where(same[:, None], rows[1::2], rng.normal(size=(100, 8))) + 0.8 * rng.normal(size=(100, 8))
    counts = np.concatenate([rng.permutation([1, 1, 1, 1, 1, 1, 1, 2, 2, 3]) for _ in range(10)])  # 14 a fold
    once = evaluate(rows, same, protocol, fars=FARS)
    drawn = WeightedPairs(once.distances, same, np.arange(100) // 10, PROTOCOLS[protocol], FARS).metrics(counts[None])
    written = np.repeat(np.arange(100), counts)
    out = evaluate(rows.reshape(100, 2, 8)[written].reshape(-1, 8), same[written], protocol, fars=FARS)
    assert drawn[0] == pytest.approx([out.accuracy, *(rate.tar for rate in out.rates), out.auc, out.eer], abs=1e-12)


def test_a_trial_without_one_kind_does_not_count() -> None:
    first, second, same = world(10, 3)
    judge = WeightedPairs(distances(first, second, same, 1), same, np.arange(60) // 6, PROTOCOLS["insightface"], FARS)
    assert np.isnan(judge.metrics(np.stack([same, ~same]).astype(float))).all()


def test_equal_runs_differ_by_nothing() -> None:
    first, second, same = world(20, 4)
    one = run(distances(first, second, same, 1), same)
    found = compare(one, one, named(first, second, same))
    assert found.equal
    assert (found.unit, found.units, found.pairs, found.headline) == ("identities", 20, 160, "accuracy")
    assert list(found.metrics) == ["accuracy", "tar@2e-1", "tar@5e-2", "auc", "eer"]
    assert all((d.difference, d.low, d.high, d.p) == (0, 0, 0, 1) for d in found.metrics.values())


def test_swapping_the_runs_turns_the_sign_and_nothing_else() -> None:
    first, second, same = world(20, 4)
    one, other = (run(distances(first, second, same, seed), same) for seed in (1, 2))
    there, back = (compare(*runs, named(first, second, same)) for runs in ((one, other), (other, one)))
    assert not there.equal
    for name, found in there.metrics.items():
        turned = back.metrics[name]
        assert (turned.difference, turned.p) == (-found.difference, found.p)
        assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
        assert found.low <= found.difference <= found.high


def test_the_same_seed_draws_the_same_people() -> None:
    first, second, same = world(20, 4)
    one, other = (run(distances(first, second, same, seed), same) for seed in (1, 2))
    pairs = named(first, second, same)
    assert compare(one, other, pairs) == compare(one, other, pairs)
    assert compare(one, other, pairs).metrics != compare(one, other, pairs, seed=2).metrics


def test_a_better_network_is_seen() -> None:
    first, second, same = world(30, 5)
    bad, good = (run(distances(first, second, same, 1, noise, 0.05), same) for noise in (0.5, 0.25))
    found = compare(bad, good, named(first, second, same)).metrics
    assert all(found[name].p < 0.02 and found[name].low > 0 for name in ("accuracy", "auc"))
    assert found["eer"].high < 0


@pytest.mark.parametrize("worlds", [30, pytest.param(400, marks=pytest.mark.slow)])
def test_p_values_of_equally_good_networks_are_about_uniform(worlds: int) -> None:
    p = []
    for number in range(worlds):
        first, second, same = world(30, 3, number)
        one, other = (run(distances(first, second, same, (number, side)), same, 3) for side in (0, 1))
        found = compare(one, other, named(first, second, same), 100, number).metrics
        p.append([found["accuracy"].p, found["auc"].p])
    values, error = np.array(p), 4 / np.sqrt(worlds)
    assert np.all(np.abs(values.mean(axis=0) - 0.5) < 0.29 * error)
    for level in (0.05, 0.1, 0.5):
        below = (values < level).mean(axis=0)
        assert np.all(np.abs(below - level) < 0.03 + error * np.sqrt(level * (1 - level)))


def test_pairs_that_share_nobody_are_as_certain_as_pairs_drawn_alone() -> None:
    rng = np.random.default_rng(5)
    same = rng.permutation(np.arange(300) % 2 == 0)
    first = np.arange(300)
    second = np.where(same, first, first + 300)  # nobody twice
    one, other = (run(distances(first, second, same, seed, hard=0), same) for seed in (1, 2))
    apart = compare(one, other, named(first, second, same), 400).metrics
    alone = compare(one, other, paired.ComparedPairs(same, [""] * 300, [""] * 300), 400)
    assert alone.unit == "pairs"
    for name in ("accuracy", "auc", "eer"):
        width = apart[name].high - apart[name].low
        assert width == pytest.approx(alone.metrics[name].high - alone.metrics[name].low, rel=0.2)


def test_pairs_of_shared_people_are_less_certain() -> None:
    first, second, same = world(12, 12)
    one, other = (run(distances(first, second, same, seed, 0.2, 0.4), same) for seed in (1, 2))
    people = compare(one, other, named(first, second, same)).metrics["accuracy"]
    alone = compare(one, other, paired.ComparedPairs(same, [""] * len(same), [""] * len(same))).metrics["accuracy"]
    assert people.high - people.low > 1.3 * (alone.high - alone.low)


def test_what_does_not_fit_is_refused() -> None:
    first, second, same = world(10, 3)
    one = run(distances(first, second, same, 1), same)
    with pytest.raises(FormatError, match="same 60 pairs"):
        compare(one, paired.VerificationRun(one.distances[1:], one.folds[1:], one.metrics), named(first, second, same))
