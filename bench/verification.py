"""Verification of 6,000 pairs x 512: counting by sorting against a loop over thresholds and folds.

The loop is the protocol as published systems run it: 10 folds x 400 thresholds for the accuracy, 10 x 4,000 for TAR at
FAR, each with its own pass over the pairs in numpy. That both agree is checked before they are timed.
"""

from __future__ import annotations

import numpy as np
from _timing import side_by_side

from facerec.evaluation.verification import evaluate

PAIRS, DIM, FAR = 6000, 512, 1e-3


def make() -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (2n, d) float32 of pairs about as hard as LFW is for an average network, and which are genuine."""
    rng = np.random.default_rng(1)
    same = np.tile(np.repeat([True, False], PAIRS // 20), 10)
    first = rng.normal(size=(PAIRS, DIM))
    second = np.where(same[:, None], first + 10 * rng.normal(size=first.shape), rng.normal(size=first.shape))
    return np.stack([first, second], 1).reshape(2 * PAIRS, DIM).astype(np.float32), same


def rates(threshold: float, distances: np.ndarray, same: np.ndarray) -> tuple[float, float, float]:
    """TPR, FPR and accuracy at one threshold."""
    predicted = np.less(distances, threshold)
    tp = np.sum(np.logical_and(predicted, same))
    fp = np.sum(np.logical_and(predicted, np.logical_not(same)))
    tn = np.sum(np.logical_and(np.logical_not(predicted), np.logical_not(same)))
    fn = np.sum(np.logical_and(np.logical_not(predicted), same))
    return tp / (tp + fn), fp / (fp + tn), (tp + tn) / len(distances)


def loop(embeddings: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, float]:
    """Fold accuracies and mean TAR, threshold by threshold."""
    unit = embeddings.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    distances = np.sum(np.square(unit[0::2] - unit[1::2]), axis=1)
    coarse, fine = np.arange(0, 4, 0.01), np.arange(0, 4, 0.001)
    accuracies, tars = [], []
    for test in np.array_split(np.arange(len(same)), 10):
        train = np.setdiff1d(np.arange(len(same)), test)
        found = [rates(t, distances[train], same[train])[2] for t in coarse]
        accuracies.append(rates(coarse[int(np.argmax(found))], distances[test], same[test])[2])
        far = [rates(t, distances[train], same[train])[1] for t in fine]
        threshold = float(np.interp(FAR, far, fine)) if max(far) >= FAR else 0.0
        tars.append(rates(threshold, distances[test], same[test])[0])
    return np.array(accuracies), float(np.mean(tars))


def main() -> None:
    embeddings, same = make()
    accuracies, tar = loop(embeddings, same)
    result = evaluate(embeddings, same, fars=(FAR,))
    np.testing.assert_allclose(result.fold_accuracy, accuracies, atol=1e-12)
    np.testing.assert_allclose(result.rates[0].tar, tar, atol=1e-12)
    sides = {"ours": lambda: evaluate(embeddings, same, fars=(FAR,)), "loop": lambda: loop(embeddings, same)}
    taken = side_by_side(sides, repeats=5)
    print(
        f"{PAIRS:,} pairs x {DIM}, both sides equal: accuracy {result.accuracy:.4f}, TAR {result.rates[0].tar:.4f} at FAR {FAR}"
    )
    print(
        f"evaluate {1000 * taken['ours']:.1f} ms, loop over thresholds {taken['loop']:.2f} s: "
        f"x {taken['loop'] / taken['ours']:.0f}   (aim 100)"
    )


if __name__ == "__main__":
    main()
