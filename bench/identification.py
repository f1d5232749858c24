"""Identification at MegaFace's size against the bare product, faiss and numpy; CPU seconds, one thread each.

    python bench/identification.py             3,530 probes x 1,000,000 distractors x 512 (2 GB in /tmp, minutes)
    python bench/identification.py 100000      the same with fewer distractors

Ours finds every rank, the five nearest, both ROC curves and their JSON. `torch.mm` only multiplies, in blocks of the
same size, which every system must do. faiss finds the five nearest, numpy counts the ranks one probe at a time; both
get a tenth of the distractors. The weak model is random, the worst case: no row can be skipped.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "FACEREC_WORKERS": "1"}  # one thread on every side

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from _timing import Rounds, absent, report, side_by_side

from facerec.evaluation.identification import identify
from facerec.evaluation.identification.on_files import map_rows
from facerec.evaluation.identification.result import IdentificationResult
from facerec.store.embeddings import normalise

PROBES, PEOPLE, DIM, BLOCK, ROUNDS = 3530, 80, 512, 1024, 3


def probes(spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Unit features around the centre of each person, and labels; spread 1 is a good model, infinity a random one."""
    rng = np.random.default_rng(0)
    labels = np.arange(PROBES) % PEOPLE
    centres = rng.normal(size=(PEOPLE, DIM))[labels] if np.isfinite(spread) else 0
    return normalise(centres + min(spread, 1.0) * rng.normal(size=(PROBES, DIM))), labels


def write_distractors(path: Path, count: int) -> None:
    """Write seeded unit features to disk, block by block."""
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, DIM)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, count, 10_000):
            rows = np.random.default_rng([1, start]).normal(size=(min(10_000, count - start), DIM))
            file.write(normalise(rows).tobytes())


def seconds(work: Callable[[], object]) -> tuple[float, object]:
    """CPU seconds of this process, and the result."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def multiply(rows: np.ndarray, path: Path) -> float:
    """CPU seconds of the bare products; reading is not counted."""
    left, room, taken = torch.from_numpy(rows), torch.empty(len(rows), BLOCK), 0.0
    others = map_rows(path)
    for start in range(0, len(others), BLOCK):
        right = torch.tensor(others[start : start + BLOCK]).T
        out = room if right.shape[1] == BLOCK else torch.empty(len(rows), right.shape[1])
        taken += seconds(lambda out=out, right=right: torch.mm(left, right, out=out))[0]
    return taken


def run(rows: np.ndarray, labels: np.ndarray, path: Path) -> IdentificationResult:
    return identify(rows, labels, map_rows(path))


def numpy_ranks(
    rows: np.ndarray, path: Path, result: IdentificationResult, chosen: np.ndarray | None = None
) -> np.ndarray:
    """Ranks by brute force, probe by probe, of all pairs or those of the `chosen` probes."""
    ranks = np.zeros(result.pairs, dtype=np.int64)
    own = np.einsum("ij,ij->i", rows, rows)
    dots = torch.mm(torch.from_numpy(rows), torch.from_numpy(rows).T).numpy()
    mates = (2 * dots - own[:, None] - own)[result.probe, result.mate]
    bounds = np.searchsorted(result.probe, np.arange(len(rows) + 1), sorter=np.argsort(result.probe))
    order = np.argsort(result.probe, kind="stable")
    others = map_rows(path)
    for start in range(0, len(others), BLOCK):
        block = np.array(others[start : start + BLOCK])
        squares = np.einsum("ij,ij->i", block, block)
        product = torch.mm(torch.from_numpy(rows), torch.from_numpy(block).T).numpy()
        for i in range(len(rows)) if chosen is None else chosen:
            scores = np.sort(2 * product[i] - own[i] - squares)
            pairs = order[bounds[i] : bounds[i + 1]]
            ranks[pairs] += len(scores) - np.searchsorted(scores, mates[pairs], side="right")
    return ranks


def faiss_nearest(rows: np.ndarray, path: Path) -> np.ndarray:
    import faiss

    return np.asarray(faiss.knn(rows, np.load(path), 5, metric=faiss.METRIC_L2)[0])


def memory(what: str) -> float:
    """Resident memory of this process in MB, now (VmRSS) or at its peak (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def full(folder: Path, count: int) -> None:
    """Compare some probes with brute force, then measure time and memory, with the good model."""
    path = folder / "all.npy"
    write_distractors(path, count)
    rows, labels = probes(1.0)
    before = memory("VmRSS")
    result = run(rows, labels, path)
    print(f"peak memory over the start: {memory('VmHWM') - before:.0f} MB")
    chosen = np.random.default_rng(2).choice(PROBES, 100, replace=False)
    expected = numpy_ranks(rows, path, result, chosen)
    where = np.isin(result.probe, chosen)
    assert np.array_equal(result.ranks[where], expected[where])
    print(f"ranks of {where.sum()} pairs of {len(chosen)} probes equal brute force over all distractors")
    print(f"{result.pairs} pairs, rank-1 {result.rank1:.4f}")
    taken = Rounds({"product": [], "ours": []})
    for _ in range(ROUNDS):
        taken.seconds["product"].append(multiply(rows, path))
        taken.seconds["ours"].append(seconds(lambda: run(rows, labels, path))[0])
    what = f"identification, {PROBES:,} probes x {count:,} distractors x {DIM}, exact ranks, ROC, devkit JSON"
    report(what, "bare torch.mm of that size", taken.ratios("ours", "product"), "of the CPU time")


def peers(folder: Path, count: int) -> None:
    """Compare with faiss and numpy: a good and a random model on a tenth of the distractors."""
    path = folder / "part.npy"
    for name, spread in (("good model", 1.0), ("weak model (random embeddings)", np.inf)):
        rows, labels = probes(spread)
        result, nearest = run(rows, labels, path), faiss_nearest(rows, path)
        plain, ranks = seconds(lambda rows=rows, result=result: numpy_ranks(rows, path, result))
        assert np.array_equal(result.ranks, ranks)
        ours = np.array([row["distractors"]["score"] for row in result.devkit["matches"]])
        np.testing.assert_allclose(-ours, nearest, atol=1e-5)  # faiss rounds differently
        print(f"\n{name}: {count} distractors, rank-1 {result.rank1:.4f}")
        sides = {
            "ours": lambda rows=rows, labels=labels: run(rows, labels, path),
            "faiss": lambda rows=rows: faiss_nearest(rows, path),
        }
        taken = side_by_side(sides, ROUNDS)
        what = f"identification, {name}, {count:,} distractors"
        report(what, "faiss IndexFlat, five nearest only", taken.ratios("faiss", "ours"))
        report(what, "numpy, every rank, once", [plain / taken["ours"]])


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    try:
        import faiss
    except ImportError:
        faiss = None
    torch.set_num_threads(1)
    if faiss:
        faiss.omp_set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        write_distractors(Path(name) / "part.npy", count // 10)
        full(Path(name), count)
        if not faiss:
            absent("faiss is not installed (pip install faiss-cpu), so nothing was compared with it and with numpy.")
        peers(Path(name), count // 10)


if __name__ == "__main__":
    main()
