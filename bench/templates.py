"""Template evaluation at IJB-C's size against scikit-learn and a full score matrix; CPU seconds and memory, one thread.

    python bench/templates.py            15,658,489 pairs of 3,531 gallery and 19,593 probe templates of 512 numbers
    python bench/templates.py 1000000    the same with fewer pairs

Figures are compared before anything is timed. Each side runs in a process of its own, whose greatest memory over what it
was given is measured; medians of three rounds in which the sides take turns. Without scikit-learn its `roc_curve` is done
with numpy in the same way. The bootstrap has no peer here and is only timed. Features are made up.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "FACEREC_WORKERS": "1"}  # one thread on every side

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from facerec.evaluation.templates import SortedScores, intervals, score_pairs

GALLERY, PROBES, DIM, PAIRS, GENUINE = 3531, 19_593, 512, 15_658_489, 19_557
FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
ROUNDS = 3
Side = Callable[[dict[str, np.ndarray]], np.ndarray]


def make(folder: Path, pairs: int) -> None:
    """Unit templates, pairs of gallery and probe rows, and their scores."""
    rng = np.random.default_rng(0)
    who = rng.integers(0, GALLERY, PROBES)
    gallery = rng.normal(size=(GALLERY, DIM))
    matrix = np.concatenate([gallery, gallery[who] + 3.5 * rng.normal(size=(PROBES, DIM))])
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    genuine = min(GENUINE, pairs // 10)
    second = np.concatenate([rng.permutation(PROBES)[:genuine], rng.integers(0, PROBES, pairs - genuine)])
    first = np.where(np.arange(pairs) < genuine, who[second], rng.integers(0, GALLERY, pairs))
    order = rng.permutation(pairs)
    first, second = first[order].astype(np.int32), (second[order] + GALLERY).astype(np.int32)
    subjects = np.append(np.arange(GALLERY), who).astype(np.int32)
    arrays = {"matrix": matrix, "first": first, "second": second, "subjects": subjects}
    arrays |= {"same": subjects[first] == subjects[second], "scores": score_pairs(matrix, first, second)}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def our_rates(given: dict[str, np.ndarray]) -> np.ndarray:
    found = SortedScores.of(given["scores"], given["same"])
    return np.array([[found.at_or_below(far).tar, found.nearest(far).tar] for far in FARS])


def roc_curve(same: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(fpr, tpr) as scikit-learn makes them, or its numpy form where it is not installed."""
    try:
        from sklearn.metrics import roc_curve as theirs
    except ImportError:
        order = np.argsort(scores, kind="mergesort")[::-1]
        ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
        tps = np.cumsum(same[order], dtype=np.float64)[ends]
        fps = 1 + ends - tps
        kept = np.flatnonzero(np.concatenate([[True], (np.diff(fps, 2) != 0) | (np.diff(tps, 2) != 0), [True]]))
        fps, tps = np.append(0, fps[kept]), np.append(0, tps[kept])
        return fps / fps[-1], tps / tps[-1]
    fpr, tpr, _ = theirs(same, scores)
    return fpr, tpr


def their_rates(given: dict[str, np.ndarray]) -> np.ndarray:
    """Both readings off the curve: the last point at or below, and InsightFace's nearest one."""
    fpr, tpr = roc_curve(given["same"], given["scores"])
    backwards = fpr[::-1]
    nearest = [tpr[::-1][np.argmin(np.abs(backwards - far))] for far in FARS]
    below = [tpr[np.searchsorted(fpr, far * (1 + 1e-12), side="right") - 1] for far in FARS]
    return np.array([below, nearest]).T


def our_scores(given: dict[str, np.ndarray]) -> np.ndarray:
    return score_pairs(given["matrix"], given["first"], given["second"])


def matrix_scores(given: dict[str, np.ndarray]) -> np.ndarray:
    """Scores read from the matrix of all gallery templates with all probes."""
    whole = given["matrix"][:GALLERY] @ given["matrix"][GALLERY:].T
    return whole[given["first"], given["second"] - GALLERY]


def our_bootstrap(given: dict[str, np.ndarray]) -> np.ndarray:
    names = ("scores", "same", "first", "second", "subjects")
    scores = intervals.SubjectScores.of(*(given[name] for name in names))
    return np.array(intervals.tar_intervals(scores, 1000, 1, FARS))


def memory(what: str) -> float:
    """Memory of this process in MB, now (VmRSS) or at its peak (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def run(side: Side, folder: Path, names: tuple[str, ...]) -> tuple[np.ndarray, float, float]:
    """Result, CPU seconds and greatest memory over what was given, in MB."""
    given = {name: np.load(folder / f"{name}.npy") for name in names}
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, start = memory("VmRSS"), time.process_time()
    found = side(given)
    return found, time.process_time() - start, memory("VmHWM") - before


def compare(title: str, sides: dict[str, Side], folder: Path, names: tuple[str, ...], exact: bool) -> None:
    """Check that all sides agree with the first, then print medians."""
    spawned = multiprocessing.get_context("spawn")
    results: dict[str, list[tuple[np.ndarray, float, float]]] = {name: [] for name in sides}
    for _ in range(ROUNDS if len(sides) > 1 else 1):
        for name, side in sides.items():
            with spawned.Pool(1) as pool:
                results[name].append(pool.apply(run, (side, folder, names)))
    ours, *others = (found[0][0] for found in results.values())
    for other in others:
        np.testing.assert_allclose(ours, other, rtol=0, atol=0 if exact else 1e-13)
    if others:
        print(f"\n{title}: {'equal' if exact else 'equal to 1e-13'}")
    base = median(each[1] for each in next(iter(results.values())))
    for name, found in results.items():
        seconds, peak = median(each[1] for each in found), median(each[2] for each in found)
        print(f"  {name:44} {seconds:7.2f} s CPU  x {seconds / base:5.2f}  {peak:7.0f} MB")


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, pairs)
        print(f"{pairs:,} pairs of {GALLERY:,} and {PROBES:,} templates, {DIM} numbers each")
        sides: dict[str, Side] = {"ours, both readings": our_rates, "roc_curve, both readings": their_rates}
        compare("True accept rates at 1e-6 to 1e-1", sides, folder, ("scores", "same"), exact=True)
        sides = {"ours, in blocks": our_scores, "full matrix": matrix_scores}
        compare("Scores", sides, folder, ("matrix", "first", "second"), exact=False)
        print("\nBootstrap over subjects")
        names = ("scores", "same", "first", "second", "subjects")
        compare("", {"ours, 1,000 trials": our_bootstrap}, folder, names, exact=True)


if __name__ == "__main__":
    main()
