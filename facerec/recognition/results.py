"""Answers to the two questions of face recognition, and how they are put into words.

*Comparison*: do two photos show one person? *Search*: who of a gallery is in a photo? An answer without a threshold
gives similarities and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from facerec.evaluation.curves import rate_name
from facerec.recognition import decisions
from facerec.recognition.faces import PhotoFace, Pixels, Portrait
from facerec.recognition.thresholds import Threshold
from facerec.store.gallery import GalleryEntry
from facerec.store.training_sets import TrainingSet, only_rendered

UNKNOWN = "unknown"
"""What a face is called that is like nobody of the gallery."""

NO_THRESHOLD = (
    "no threshold is known for this model, so nothing is decided: measure one (`facerec embed` and `facerec verify` "
    "on a benchmark's faces and pairs, or `dvc repro`) and name its scores"
)


@dataclass(frozen=True)
class PhotoComparison:
    """Two photos and how alike their chosen faces are.

    Attributes:
        similarity: cosine of both embeddings, in [-1, 1].
        threshold: what decides; None where none is known.
        caution: why the answer says nothing about real people, "" where that is not known.
    """

    first: Portrait
    second: Portrait
    similarity: float
    threshold: Threshold | None
    caution: str

    @property
    def distance(self) -> float:
        """Squared distance of both embeddings of length 1, in [0, 4]."""
        return decisions.squared_distance(self.similarity)

    @property
    def same(self) -> bool | None:
        """Whether both photos are taken for one person; None without a threshold."""
        return None if self.threshold is None else self.threshold.accepts(self.similarity)

    def __str__(self) -> str:
        return sentences(match_verdict(self), self.caution)


@dataclass(frozen=True)
class Candidate:
    """Somebody of a gallery, by the photo that is most like a face: `similarity` is their cosine."""

    entry: GalleryEntry
    similarity: float


@dataclass(frozen=True)
class Identified:
    """A face and who it may be.

    Attributes:
        candidates: the most alike of the gallery, best first.
        name: of the best one where the threshold accepts it, else None: unknown, or nothing decided.
    """

    face: PhotoFace
    candidates: tuple[Candidate, ...]
    name: str | None


@dataclass(frozen=True)
class Search:
    """A photo and who of a gallery is in it.

    Attributes:
        name: what the photo is called. pixels: RGB (h, w, 3), upright.
        people: its faces, by descending score of the detector.
        threshold: what decides; None where none is known.
        comparisons: photos that each face was compared with.
        caution: why the answer says nothing about real people, "" where that is not known.
    """

    name: str
    pixels: Pixels
    people: tuple[Identified, ...]
    threshold: Threshold | None
    comparisons: int
    caution: str

    @property
    def fpir(self) -> float | None:
        """Chance that a stranger's face is taken for anybody of the gallery; None without a threshold."""
        if self.threshold is None:
            return None
        return decisions.search_rate(self.threshold.point.far, self.comparisons)

    def __str__(self) -> str:
        return sentences(rates(self), self.caution)


def match_verdict(comparison: PhotoComparison) -> str:
    """The decision in words, with the rate and the benchmark it rests on."""
    if comparison.threshold is None:
        return NO_THRESHOLD
    decided = "same person" if comparison.same else "different people"
    return f"{decided}, at {basis(comparison.threshold)}"


def basis(threshold: Threshold) -> str:
    """What a decision rests on: "a false accept rate of 1e-2 measured on lfw (3,000 different pairs)"."""
    faces = " of synthetic faces" if threshold.measured.rendered else ""
    pairs = f"{threshold.point.pairs:,} different pairs{faces}"
    rate = rate_name(float(f"{threshold.point.far:.3g}"))
    return f"a false accept rate of {rate} measured on {threshold.measured.benchmark} ({pairs})"


def reliability(threshold: Threshold) -> str:
    """How far the rate of a threshold could be off, and how many true pairs it accepts."""
    point, tar = threshold.point, threshold.tar
    known = f"{point.accepted:,} of the {point.pairs:,} different pairs are above it"
    truly = "" if tar is None else f", of the same pairs {100 * tar:.1f} %"
    return f"{known}{truly}; the true rate may be {percent(point.low)} to {percent(point.high)} (95 %)"


def rates(search: Search) -> str:
    """What a search's decisions rest on: the rate of one comparison and that of the whole search."""
    if search.threshold is None or search.fpir is None:
        return NO_THRESHOLD
    return (
        f"decided at {basis(search.threshold)} for each comparison; among {search.comparisons:,} photos a stranger "
        f"is taken for somebody in about {percent(search.fpir)} of searches"
    )


def caution(trained_on: tuple[TrainingSet, ...] | None, threshold: Threshold | None) -> str:
    """One sentence where the network, or the threshold's benchmark, has seen rendered faces only; else ""."""
    network, measured = only_rendered(trained_on), threshold is not None and threshold.measured.rendered
    if not (network or measured):
        return ""
    sources = []
    if network:
        sources.append(f"the network was trained on synthetic faces only ({_names(trained_on)})")
    if measured and threshold is not None:
        sources.append(f"the threshold was measured on synthetic faces ({threshold.measured.benchmark})")
    return f"No evidence about real people: {' and '.join(sources)}"


def sentences(*parts: str) -> str:
    """The parts that say something, each as a sentence."""
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in parts if part)


def percent(share: float) -> str:
    """A share as people read it: two significant digits, and as many decimals as they need."""
    value = 100 * share
    return f"{value:.2g} %" if value < 99.5 else f"{value:.4g} %"


def short(name: str, most: int = 40) -> str:
    """A name of at most so many letters: the last parts of a path, else the end, which say more than the beginning."""
    parts = name.split("/")
    while len(parts) > 1 and len("/".join(parts)) > most:
        parts = parts[1:]
    name = "/".join(parts)
    return name if len(name) <= most else f"…{name[1 - most :]}"


def _names(sets: tuple[TrainingSet, ...] | None) -> str:
    return ", ".join(each.name for each in sets or ())
