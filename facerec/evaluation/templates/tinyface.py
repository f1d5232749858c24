"""TinyFace: probes of a few pixels are searched among photos of their people and 153,428 distractors; rank-1, -5, -20.

The gallery holds several photos of a person; the first of them in the ranking counts, as in the CMC of the authors' kit and
in CVLface. Its mean average precision is not computed. Similarity is the cosine. Source: Cheng, Zhu and Gong,
"Low-resolution face recognition", ACCV 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.evaluation.templates import on_files, rates_of_search, search_gallery, search_intervals
from facerec.interop import template_lists
from facerec.store import embeddings

RANKS = (1, 5, 20)
_DISTRACTORS = "Gallery_Distractor"
_NOBODY = -1

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class TinyFaceRates:
    """Rates of TinyFace.

    Attributes:
        probes, gallery, distractors: how many photos.
        missing: photos of each of the three without a face; a probe without one ranks last.
        ranks: share of the probes with a photo of their person among the best k, by k.
        interval: 95 % by the bootstrap over the people of the probes, by k; empty without trials.
    """

    probes: int
    gallery: int
    distractors: int
    missing: tuple[int, int, int]
    ranks: dict[int, float]
    interval: dict[int, tuple[float, float]]

    def answer(self) -> dict[str, Any]:
        """As `facerec tinyface --json` prints it."""
        names = ("probes", "gallery", "distractors")
        found: dict[str, Any] = {name: getattr(self, name) for name in names}
        found |= {f"{name}_without_face": count for name, count in zip(names, self.missing, strict=True)}
        found |= {f"rank{k}": share for k, share in self.ranks.items()}
        spans = {f"rank{k}": {"lo": low, "hi": high} for k, (low, high) in self.interval.items()}
        return found | ({"interval": spans, "interval_over": "subjects"} if spans else {})


def measure_embedded(folder: Path, embedded: Path, trials: int = 0, seed: int = 1) -> TinyFaceRates:
    """Measure embeddings of all photos of Testing_Set, the `folder` of the lists; a photo that is not there has no face."""
    probes, gallery = template_lists.read_tinyface(folder)
    faces = embeddings.read_embeddings(embedded)
    unit = embeddings.normalise(faces.matrix)
    absent = np.full((1, unit.shape[1]), np.nan, np.float32)
    sets = []
    for kind, listed in (("Probe", probes), ("Gallery_Match", gallery)):
        rows = on_files.find_photos(faces, [f"{kind}/{name}" for name in listed.names], embedded)
        sets.append(np.concatenate([unit, absent])[rows])
    others = [row for row, source in enumerate(faces.sources) if _DISTRACTORS in Path(source).parts]
    return rank_tinyface(sets[0], probes.people, sets[1], gallery.people, unit[others], trials, seed)


def measure_matrices(
    folder: Path, probes: Path, gallery: Path, distractors: Path, trials: int = 0, seed: int = 1
) -> TinyFaceRates:
    """Measure three .npy matrices of another system: a row a line of the lists, and any distractors."""
    listed = template_lists.read_tinyface(folder)
    sets = []
    for path, faces in zip((probes, gallery, distractors), (*listed, None), strict=True):
        rows = on_files.read_features(path, None if faces is None else len(faces.names))
        sets.append(embeddings.normalise(rows))
    return rank_tinyface(sets[0], listed[0].people, sets[1], listed[1].people, sets[2], trials, seed)


def rank_tinyface(
    probes: Floats,
    people: NDArray[np.int64],
    gallery: Floats,
    gallery_people: NDArray[np.int64],
    distractors: Floats,
    trials: int = 0,
    seed: int = 1,
) -> TinyFaceRates:
    """Rank unit rows, NaN where there is no face."""
    everyone = np.concatenate([gallery_people, np.full(len(distractors), _NOBODY)])
    found = search_gallery(probes, people, np.concatenate([gallery, distractors]), everyone)
    ranks = rates_of_search(found, RANKS, ()).ranks
    interval: dict[int, tuple[float, float]] = {}
    if trials:
        low, high = search_intervals([found], people, trials, seed, RANKS, ())
        interval = dict(zip(RANKS, zip(low.tolist(), high.tolist(), strict=True), strict=True))
    missing = [int(np.isnan(each[:, 0]).sum()) for each in (probes, gallery, distractors)]
    return TinyFaceRates(
        len(probes), len(gallery), len(distractors), (missing[0], missing[1], missing[2]), ranks, interval
    )
