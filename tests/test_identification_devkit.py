"""The devkit's curves and matches on small random problems, against a replica that walks over every rank and count."""

from __future__ import annotations

import numpy as np
import pytest

from facerec.evaluation.identification import identify
from facerec.evaluation.identification.devkit import devkit_cmc, devkit_roc


def walk(shares: np.ndarray, rise_is_enough) -> list[int]:
    """Places kept on a walk over all of them, from a last share of -1 on; the last place always."""
    kept, last = [], np.float32(-1)
    for place, share in enumerate(shares):
        if rise_is_enough(float(share - last)) or place == len(shares) - 1:
            kept.append(place)
            last = share
    return kept


def cmc_by_walk(ranks: np.ndarray, distractors: int) -> list[list[float]]:
    found = np.array([(ranks <= rank).sum() for rank in range(distractors + 1)], np.float32)
    shares = found / np.float32(len(ranks))
    kept = walk(shares, lambda rise: rise >= 0.01)
    return [kept, shares[kept].tolist()]


def roc_by_walk(false_positives: np.ndarray, negatives: int) -> list[list[float]]:
    found = np.array([(false_positives <= count).sum() for count in range(negatives + 1)], np.float32)
    shares = found / np.float32(len(false_positives))
    kept = walk(shares, lambda rise: rise > 0.01)
    return [(np.array(kept, np.float32) / np.float32(negatives)).tolist(), shares[kept].tolist()]


@pytest.mark.parametrize("seed", range(200))
def test_curves_are_those_of_a_walk_over_everything(seed: int) -> None:
    random = np.random.default_rng(seed)
    pairs, last = int(random.choice([1, 3, 40, 99, 100, 101, 1000])), int(random.integers(5, 400))
    counts = random.integers(0, random.integers(1, last + 1, endpoint=True), pairs)  # many ties, many rises below 1 %
    assert devkit_cmc(counts, last) == cmc_by_walk(counts, last)
    assert devkit_roc(counts, last) == roc_by_walk(counts, last)


@pytest.mark.parametrize("seed", range(50))
def test_a_whole_problem_is_that_of_its_definition(seed: int) -> None:
    """Whole numbers as features, so that scores are exact and tie; some people have a single photo."""
    random = np.random.default_rng(seed)
    labels = np.sort(random.integers(0, 8, int(random.integers(12, 30))))
    probes = random.integers(-1, 2, (len(labels), 4)).astype(np.float32)
    distractors = random.integers(-1, 2, (int(random.integers(5, 60)), 4)).astype(np.float32)
    found = identify(probes, labels, distractors).devkit
    scores = -((probes[:, None] - distractors[None]) ** 2).sum(2)
    mates = -((probes[:, None] - probes[None]) ** 2).sum(2)
    pairs = [(i, j) for i in range(len(labels)) for j in range(len(labels)) if i != j and labels[i] == labels[j]]
    ranks = {(i, j): int((scores[i] > mates[i, j]).sum()) for i, j in pairs}
    negatives = scores[:100].ravel()
    above = np.array([(negatives > mates[i, j]).sum() for i, j in pairs if i < j])
    assert found["cmc"] == cmc_by_walk(np.array(list(ranks.values())), len(distractors))
    assert found["roc"] == roc_by_walk(above, len(negatives))
    for j, match in enumerate(found["matches"]):
        seekers = [i for i in range(len(labels)) if (i, j) in ranks]
        expected = {"idx": seekers, "rank": [ranks[i, j] for i in seekers]} if seekers else None
        assert match["probes"] == expected
        assert match["distractors"]["score"] == sorted(scores[j].tolist(), reverse=True)[:5]
