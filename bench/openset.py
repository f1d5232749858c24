"""All pairs of 13,233 photos x 128: blocks that keep the highest scores against the full score matrix and its ROC.

87 million impostor pairs, as LFW has. The peer computes every cosine in one matrix, takes the pairs above its diagonal
and gives them to sklearn's roc_curve where that is installed, else sorts the impostor scores with numpy. TAR at FAR 1e-2
to 1e-6 must agree before CPU time and peak memory are compared; each run is a process of its own.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from statistics import median

import facerec

facerec.use_portable_arithmetic()

import numpy as np

from facerec.evaluation.open_set import scoring

PEOPLE, PHOTOS, DIM, ROUNDS = 5749, 13_233, 128, 3
FARS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


def make() -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and people, few of them with many photos, as in LFW."""
    rng = np.random.default_rng(1)
    shares = 1 / np.arange(1, PEOPLE + 1) ** 0.75
    extra = rng.choice(PEOPLE, size=PHOTOS - PEOPLE, p=shares / shares.sum())
    people = np.concatenate([np.arange(PEOPLE), extra])
    faces = rng.normal(size=(PEOPLE, DIM))[people] + 1.2 * rng.normal(size=(PHOTOS, DIM))
    return faces.astype(np.float32), people


def blocks(faces: np.ndarray, people: np.ndarray) -> list[float]:
    """Ours."""
    found = scoring.score_pairs(scoring.unit_rows(faces), people, max(FARS))
    return [found.rate(far) for far in FARS]


def full_matrix(faces: np.ndarray, people: np.ndarray) -> list[float]:
    """The peer."""
    unit = faces.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    above = np.triu(np.ones((len(people), len(people)), dtype=bool), 1)
    scores, same = (unit @ unit.T)[above], (people[:, None] == people[None])[above]
    try:
        from sklearn.metrics import roc_curve
    except ImportError:
        impostors = np.sort(scores[~same])[::-1]
        thresholds = [impostors[round(far * len(impostors)) - 1] for far in FARS]
        return [float(np.mean(scores[same] >= threshold)) for threshold in thresholds]
    fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    count = int((~same).sum())
    return [float(tpr[np.searchsorted(fpr, (round(far * count) - 0.5) / count)]) for far in FARS]


def measured(side: str, out: multiprocessing.Queue) -> None:
    """Rates, CPU-seconds, and peak memory above that before the call, in MB."""
    faces, people = make()
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    rates = {"blocks": blocks, "full_matrix": full_matrix}[side](faces, people)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    out.put((rates, time.process_time() - start, peak / 1024))


def run(side: str) -> tuple[list[float], float, float]:
    """One side in a process of its own."""
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    process = context.Process(target=measured, args=(side, out))
    process.start()
    found = out.get()
    process.join()
    return found


def main() -> None:
    rounds = [(run("blocks"), run("full_matrix")) for _ in range(ROUNDS)]
    for ours, theirs in rounds:
        np.testing.assert_allclose(ours[0], theirs[0], atol=2e-5)  # scores of unit vectors agree to 1e-8
    print(
        f"all pairs of {PHOTOS:,} photos x {DIM}, TAR equal on both sides:",
        dict(zip(FARS, rounds[0][0][0], strict=True)),
    )
    (_, seconds, memory), (_, others, peer_memory) = rounds[0]
    ratio = median(theirs[1] / ours[1] for ours, theirs in rounds)
    print(f"blocks      {seconds:6.1f} CPU-s, {memory:6,.0f} MB above the start")
    print(
        f"full matrix {others:6.1f} CPU-s, {peer_memory:6,.0f} MB: time x {ratio:.1f}, memory x {peer_memory / memory:.0f}"
    )


if __name__ == "__main__":
    main()
