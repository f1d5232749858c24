"""How often strangers match somebody in a gallery, against 1 - (1 - FAR)^n, and how well a threshold keeps its FAR.

    python bench/search_rate.py [EMBEDDINGS.npy SCORES]    data/embeddings/lfw.npy and data/scores/lfw by default

Needs embeddings of many people with their names and the scores that the same model reached on a benchmark, as
`facerec profile lfw` and `dvc repro` make them. Prints two Markdown tables. One photo of each person is used.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.core import rate_name
from facerec.recognition.thresholds import Measurement, UnsupportedRateError, read_measurement, search_fpir
from facerec.store import embeddings
from facerec.store.embeddings import normalise

RATES, SIZES, STRANGERS, DRAWS = (1e-1, 1e-2, 1e-3), (10, 100, 1000), 1000, 20


def supported(measured: Measurement) -> list[tuple[float, float]]:
    """The false accept rates that the benchmark has enough pairs for, and their thresholds as cosines."""
    found = []
    for far in RATES:
        try:
            found.append((far, measured.at(far).similarity))
        except UnsupportedRateError as error:
            print(error)
    return found


def accepted(people: NDArray[np.float32], rng: np.random.Generator, photos: int, threshold: float) -> float:
    """Share of strangers who match anybody in a gallery of so many photos, over all draws."""
    shares = []
    for _ in range(DRAWS):
        order = rng.permutation(len(people))
        gallery, strangers = people[order[:photos]], people[order[photos : photos + STRANGERS]]
        shares.append(float(((strangers @ gallery.T).max(axis=1) > threshold).mean()))
    return float(np.mean(shares))


def main(embedded: Path, scores: Path) -> None:
    """Print both tables."""
    if not embedded.is_file() or not scores.is_dir():
        print(f"{embedded} or {scores} is not there, so nothing was measured; run facerec profile lfw and dvc repro.")
        return
    known = embeddings.read_embeddings(embedded)
    if known.origin is None:
        raise SystemExit(f"{embedded} does not say which model made it; embed again.")
    rates = supported(read_measurement(scores, known.origin.model))
    first = np.unique(known.identities, return_index=True)[1]
    people = normalise(known.matrix[first])
    people = people[np.isfinite(people).all(axis=1)]
    pairs = (people @ people.T)[np.triu_indices(len(people), 1)]
    print(
        f"| FAR | threshold, cosine | share of {len(pairs):,} pairs of {len(people):,} people accepted |\n|---|---|---|"
    )
    for far, threshold in rates:
        print(f"| {rate_name(far)} | {threshold:.3f} | {(pairs > threshold).mean():.3g} |")
    print("\n| photos | FAR | strangers taken for somebody | 1 - (1 - FAR)^n |\n|---|---|---|---|")
    for far, threshold in rates:
        for photos in (size for size in SIZES if size + STRANGERS <= len(people)):
            share = accepted(people, np.random.default_rng(1), photos, threshold)
            formula = search_fpir(far, photos)
            print(f"| {photos:,} | {rate_name(far)} | {100 * share:.1f} % | {100 * formula:.1f} % |")


if __name__ == "__main__":
    given = [Path(word) for word in sys.argv[1:]]
    main(*given if given else (Path("data/embeddings/lfw.npy"), Path("data/scores/lfw")))
