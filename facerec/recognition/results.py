"""Faces of photos, and the results of comparing photos and searching galleries, in words and as values for JSON.

A result without a threshold gives similarities and no decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facerec.detection import Faces
from facerec.recognition.thresholds import Threshold, format_percent, search_fpir, squared_distance
from facerec.store.gallery import GalleryEntry
from facerec.store.model_metadata import TrainingSet, only_rendered

Pixels: TypeAlias = NDArray[np.uint8]
"""RGB (h, w, 3)."""

UNKNOWN = "unknown"
"""Shown instead of a name for a face that matches no person of the gallery."""

NO_THRESHOLD = (
    "no threshold is known for this model, so nothing is decided: measure one (`facerec embed` and `facerec verify` "
    "on a benchmark's faces and pairs, or `dvc repro`) and name its scores"
)


@dataclass(frozen=True)
class PhotoFace:
    """A face of a photo.

    Attributes:
        box: (4,) float32 x1, y1, x2, y2 in photo pixels; None where no box was found (fallback "crop").
        landmarks: (5, 2) float32 in photo pixels, ordered as in `facerec.detection.Faces`; None without a box.
        score: of the detector, 0..1; None without a box.
        fallback: what found it, of `facerec.aligning.FALLBACKS`.
        crop: JPEG bytes of the aligned face.
        embedding: (dim,) float32 of length 1.
    """

    box: NDArray[np.float32] | None
    landmarks: NDArray[np.float32] | None
    score: float | None
    fallback: str
    crop: bytes
    embedding: NDArray[np.float32]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; coordinates are pixels of the upright photo."""
        score = None if self.score is None else round(self.score, 5)
        places = {"box": _rounded(self.box), "landmarks": _rounded(self.landmarks)}
        return {**places, "score": score, "rung": self.fallback}


@dataclass(frozen=True)
class Portrait:
    """A photo (upright pixels) with the face chosen from those that the detector `found` in the same pass."""

    name: str
    pixels: Pixels
    found: Faces
    face: PhotoFace


@dataclass(frozen=True)
class PhotoComparison:
    """How similar the chosen faces of two photos are.

    Attributes:
        first, second: the photos, each with its chosen face.
        similarity: cosine of both embeddings, in [-1, 1].
        threshold: decides whether they show one person; None where none is known.
        caution: why the result is no evidence about real people, else "".
    """

    first: Portrait
    second: Portrait
    similarity: float
    threshold: Threshold | None
    caution: str

    @property
    def distance(self) -> float:
        """Squared distance of both embeddings of length 1, in [0, 4]."""
        return squared_distance(self.similarity)

    @property
    def same(self) -> bool | None:
        """Whether both photos count as one person; None without a threshold."""
        return None if self.threshold is None else self.threshold.accepts(self.similarity)

    @property
    def decision(self) -> str:
        """The decision in words, with the rate and the benchmark behind it."""
        if self.threshold is None:
            return NO_THRESHOLD
        return f"{'same person' if self.same else 'different people'}, at {self.threshold.basis}"

    def __str__(self) -> str:
        return join_sentences(self.decision, self.caution)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        both = (self.first, self.second)
        photos = [{"photo": each.name, "faces": len(each.found), **each.face.to_dict()} for each in both]
        similarity = {"similarity": self.similarity, "distance": self.distance, "same": self.same}
        return {"photos": photos, **similarity, **_decision_values(self)}


@dataclass(frozen=True)
class Candidate:
    """A photo of the gallery and the cosine of its embedding to that of a face."""

    entry: GalleryEntry
    similarity: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        distance = squared_distance(self.similarity)
        photo = {"name": self.entry.name, "photo": self.entry.source}
        return {**photo, "similarity": self.similarity, "distance": distance}


@dataclass(frozen=True)
class IdentifiedFace:
    """A face and the people of the gallery it may be.

    Attributes:
        face: the face that was searched for.
        candidates: the most similar of the gallery, best first.
        name: of the best candidate where the threshold accepts it, else None.
    """

    face: PhotoFace
    candidates: tuple[Candidate, ...]
    name: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**self.face.to_dict(), "name": self.name, "candidates": [each.to_dict() for each in self.candidates]}


@dataclass(frozen=True)
class SearchResult:
    """A photo and the people of a gallery in it.

    Attributes:
        name: of the photo.
        pixels: RGB (h, w, 3), upright.
        people: its faces, by descending score of the detector.
        threshold: decides which candidates are accepted; None where none is known.
        comparisons: number of photos that each face was compared with.
        caution: why the result is no evidence about real people, else "".
    """

    name: str
    pixels: Pixels
    people: tuple[IdentifiedFace, ...]
    threshold: Threshold | None
    comparisons: int
    caution: str

    @property
    def fpir(self) -> float | None:
        """Chance that a person who is not in the gallery is named; None without a threshold."""
        return None if self.threshold is None else search_fpir(self.threshold.point.far, self.comparisons)

    @property
    def decision(self) -> str:
        """The rate of one comparison and that of the whole search, in words."""
        if self.threshold is None or self.fpir is None:
            return NO_THRESHOLD
        return (
            f"decided at {self.threshold.basis} for each comparison; among {self.comparisons:,} photos a stranger "
            f"is taken for somebody in about {format_percent(self.fpir)} of searches"
        )

    def __str__(self) -> str:
        return join_sentences(self.decision, self.caution)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        found = {"photo": self.name, "faces": [person.to_dict() for person in self.people]}
        return {**found, "comparisons": self.comparisons, "fpir": self.fpir, **_decision_values(self)}


def _rounded(values: NDArray[np.float32] | None) -> list[Any] | None:
    """Nested lists of the values to 1/100 pixel."""
    return None if values is None else np.round(values.astype(np.float64), 2).tolist()


def _decision_values(result: PhotoComparison | SearchResult) -> dict[str, Any]:
    return {
        "threshold": None if result.threshold is None else result.threshold.to_dict(),
        "decision": join_sentences(result.decision),
        "caution": join_sentences(result.caution),
    }


def describe_caution(trained_on: tuple[TrainingSet, ...] | None, threshold: Threshold | None) -> str:
    """A sentence where the network was trained, or the threshold measured, on rendered faces only; else ""."""
    sources = []
    if only_rendered(trained_on):
        names = ", ".join(each.name for each in trained_on or ())
        sources.append(f"the network was trained on synthetic faces only ({names})")
    if threshold is not None and threshold.measured.rendered:
        sources.append(f"the threshold was measured on synthetic faces ({threshold.measured.benchmark})")
    return f"No evidence about real people: {' and '.join(sources)}" if sources else ""


def join_sentences(*parts: str) -> str:
    """The parts that are not empty, each as a sentence.

    >>> join_sentences("same person", "")
    'Same person.'
    """
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in parts if part)


def shorten_name(name: str, most: int = 40) -> str:
    """At most so many letters of a name: the last parts of a path that fit, else the end of the name.

    >>> shorten_name("/photos/of/ann/1.jpg", 10)
    'ann/1.jpg'
    """
    parts = name.split("/")
    while len(parts) > 1 and len("/".join(parts)) > most:
        parts = parts[1:]
    name = "/".join(parts)
    return name if len(name) <= most else f"…{name[1 - most :]}"
