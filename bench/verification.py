"""Verification of 6,000 pairs x 512: counting by sorting against loops over thresholds and folds.

Both loops are in numpy, with a pass over the pairs for each threshold: 10 folds x 400 for the accuracy and 10 x 4,000
for TAR at FAR. The first does no more than the protocol needs. The second does all that `evaluate` of InsightFace's
verification.py does, written anew after its rules: it judges the test folds at all 400 thresholds too, as it also gives
a mean ROC, and it measures the distances twice. That all agree is checked before they are timed.
"""

from __future__ import annotations

import numpy as np
from _timing import report, side_by_side

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


def insightface(embeddings: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, float]:
    """Fold accuracies and mean TAR by all the steps of InsightFace's function."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    coarse, fine, parts = np.arange(0, 4, 0.01), np.arange(0, 4, 0.001), np.array_split(np.arange(len(same)), 10)
    distances = np.sum(np.square(np.subtract(unit[0::2], unit[1::2])), 1)
    tprs, fprs, accuracies = np.zeros((10, len(coarse))), np.zeros((10, len(coarse))), np.zeros(10)
    for fold, test in enumerate(parts):
        train = np.setdiff1d(np.arange(len(same)), test)
        found = np.array([rates(t, distances[train], same[train])[2] for t in coarse])
        for place, threshold in enumerate(coarse):
            tprs[fold, place], fprs[fold, place], _ = rates(threshold, distances[test], same[test])
        accuracies[fold] = rates(coarse[np.argmax(found)], distances[test], same[test])[2]
    distances = np.sum(np.square(np.subtract(unit[0::2], unit[1::2])), 1)
    tars = []
    for test in parts:
        train = np.setdiff1d(np.arange(len(same)), test)
        far = np.array([far_and_tar(t, distances[train], same[train])[0] for t in fine])
        threshold = float(np.interp(FAR, far, fine)) if far.max() >= FAR else 0.0
        tars.append(far_and_tar(threshold, distances[test], same[test])[1])
    return accuracies, float(np.mean(tars))


def far_and_tar(threshold: float, distances: np.ndarray, same: np.ndarray) -> tuple[float, float]:
    """False and true accept rate at one threshold."""
    predicted = np.less(distances, threshold)
    accepted = np.sum(np.logical_and(predicted, same)), np.sum(np.logical_and(predicted, np.logical_not(same)))
    return accepted[1] / np.sum(np.logical_not(same)), accepted[0] / np.sum(same)


def main() -> None:
    embeddings, same = make()
    result = evaluate(embeddings, same, fars=(FAR,))
    for peer in (loop, insightface):
        accuracies, tar = peer(embeddings, same)
        np.testing.assert_allclose(result.fold_accuracy, accuracies, atol=1e-12)
        np.testing.assert_allclose(result.rates[0].tar, tar, atol=1e-12)
    sides = {
        "ours": lambda: [evaluate(embeddings, same, fars=(FAR,)) for _ in range(10)],
        "loop": lambda: loop(embeddings, same),
        "insightface": lambda: insightface(embeddings, same),
    }
    taken = side_by_side(sides, repeats=5)
    print(f"all sides equal: accuracy {result.accuracy:.4f}, TAR {result.rates[0].tar:.4f} at FAR {FAR}")
    print(
        f"evaluate {100 * taken['ours']:.1f} ms, loop {taken['loop']:.2f} s, InsightFace's {taken['insightface']:.2f} s"
    )
    what = f"verification, {PAIRS:,} pairs x {DIM}, insightface protocol"
    report(what, "a loop over thresholds and folds in numpy", times(taken.ratios("loop", "ours")), aim="120")
    report(what, "all steps of InsightFace's function", times(taken.ratios("insightface", "ours")), aim="100")


def times(ratios: list[float]) -> list[float]:
    return [10 * ratio for ratio in ratios]


if __name__ == "__main__":
    main()
