"""Comparing, enrolling and searching with one network and one detector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import Any

from facerec import detection, embedding
from facerec.aligning.crops import options_for_network
from facerec.core import FacerecError, FormatError, ParamsError, digests, torch_device
from facerec.detection import Detector
from facerec.recognition import decisions, results, thresholds
from facerec.recognition.faces import FaceFinder, Photo, PhotoFace, Portrait, load_photo
from facerec.recognition.results import Candidate, Identified, PhotoComparison, Search
from facerec.recognition.thresholds import Measurement, Threshold
from facerec.store import gallery as galleries
from facerec.store.gallery import Gallery, GalleryEntry


@dataclass(frozen=True)
class Named:
    """A photo of a person: its encoded bytes, and where it comes from."""

    name: str
    source: str
    data: bytes


@dataclass(frozen=True)
class Enrolled:
    """What a gallery keeps of a photo, and how many faces were found in it."""

    entry: GalleryEntry
    faces: int


@dataclass(frozen=True)
class Refused:
    """A photo that could not be enrolled, and why."""

    source: str
    reason: str


class Recogniser:
    """A network and a detector, ready for photos.

    `model` is anything `facerec.embedding.load_embedder` takes; `detector` a name of `facerec.detection`, with its `options`
    (weights, min_face, ...), or a detector. Photos whose best face scores less than `retry` are looked at again, as
    `detect.retry` says. `choosing` are fields of `facerec.params.Align` (rule, fallbacks, min_score, ...): which
    face of a photo is taken. A threshold holds for faces that are found and chosen as those of its benchmark were.
    Runs on the device of FACEREC_DEVICE.
    """

    def __init__(
        self,
        model: str | Path,
        detector: str | Detector = "mtcnn",
        options: Mapping[str, Any] | None = None,
        retry: float = 0.5,
        **choosing: Any,
    ) -> None:
        if choosing.get("rule", "center") not in detection.RULES:
            rules = ", ".join(detection.RULES)
            raise ParamsError(f"No rule {choosing['rule']!r} to choose a face; use {rules}.")
        self.embedder = embedding.load_embedder(model, torch_device())
        prepared = self.embedder.preprocessing
        cut = options_for_network(prepared.size, prepared.template, **choosing)
        found = (
            detection.build_detector(detector, **(options or {})) if isinstance(detector, str) else detector
        )
        self.name = str(model)
        self.finder = FaceFinder(found, retry, cut, self.embedder)

    @property
    def model(self) -> galleries.GalleryModel:
        """What a gallery remembers of the network."""
        known = self.embedder
        return galleries.GalleryModel(
            known.digest, known.dim, known.preprocessing.to_dict(), known.trained_on
        )

    def faces(self, photo: Photo) -> list[PhotoFace]:
        """All faces of a photo, by descending score; NoFaceError where there is none."""
        return self.finder.everyone(*load_photo(photo))[1]

    def portrait(self, photo: Photo, name: str = "the photo") -> Portrait:
        """The face of a photo that the rule chooses; NoFaceError where there is none."""
        found = next(self.finder.portraits([load_photo(photo, name)]))
        if isinstance(found, FacerecError):
            raise found
        return found

    def measured(self, scores: str | Path | None = None) -> Measurement | None:
        """What this model measured: in `scores`, else in the best of data/scores; None where it did not.

        Raises FormatError where `scores` are those of another model.
        """
        if scores is None:
            return thresholds.find_threshold(self.embedder.digest)
        return thresholds.read_scores_of(scores, self.embedder.digest)

    def threshold(self, far: float = 1e-2, scores: str | Path | None = None) -> Threshold | None:
        """The threshold at the false accept rate `far` of what this model `measured`; None where it did not."""
        measured = self.measured(scores)
        return None if measured is None else measured.at(far)

    def compare(self, first: Photo, second: Photo, threshold: Threshold | None = None) -> PhotoComparison:
        """Do two photos show one person? Decided by `threshold`, where there is one."""
        a, b = self.portrait(first, "the first photo"), self.portrait(second, "the second photo")
        similarity = float(decisions.similarities(a.face.embedding, b.face.embedding)[0, 0])
        return PhotoComparison(a, b, similarity, threshold, self.caution(threshold))

    def gallery(self, path: str | Path | None = None) -> Gallery:
        """The gallery in the file `path`, or an empty one; FormatError where another model made it."""
        if path is None:
            return Gallery(self.model)
        found = galleries.read_gallery(path)
        self._check(found, f"{path}")
        return found

    def enroll(self, photos: Iterable[Named], keep_faces: bool = True) -> Iterator[Enrolled | Refused]:
        """For every photo what a gallery keeps of its chosen face, or why it is refused.

        `Gallery.with_entries` adds the entries. With `keep_faces` the aligned face is kept beside the embedding.
        """
        seen, given = tee(photos)
        found = self.finder.portraits((photo.source, photo.data) for photo in given)
        for photo, portrait in zip(seen, found, strict=True):
            if isinstance(portrait, FacerecError):
                yield Refused(photo.source, str(portrait).removeprefix(f"{photo.source}: "))
            else:
                yield Enrolled(_entry(photo, portrait.face, keep_faces), len(portrait.found))

    def search(
        self,
        gallery: Gallery,
        photo: Photo,
        threshold: Threshold | None = None,
        top: int = 5,
        everyone: bool = True,
        every_photo: bool = False,
    ) -> Search:
        """Who of a gallery is in a photo: its faces, or the one the rule chooses, each with the `top` most alike.

        A person counts by the best photo, unless `every_photo` is to be listed. Raises FormatError for a gallery of
        another model or without photos, NoFaceError for a photo without a face.
        """
        self._check(gallery, "this gallery")
        if not len(gallery):
            raise FormatError("the gallery holds nobody; enroll photos first.")
        name, data = load_photo(photo)
        if everyone:
            pixels, faces = self.finder.everyone(name, data)
        else:
            portrait = self.portrait(photo)
            pixels, faces = portrait.pixels, [portrait.face]
        likeness = decisions.similarities([face.embedding for face in faces], gallery.matrix)
        names = [entry.name for entry in gallery.entries]
        people = []
        for face, row in zip(faces, likeness, strict=True):
            best = decisions.ranked(row, names, every_photo)[: max(top, 1)]
            candidates = tuple(Candidate(gallery.entries[place], float(row[place])) for place in best)
            known = threshold is not None and threshold.accepts(candidates[0].similarity)
            people.append(Identified(face, candidates, candidates[0].entry.name if known else None))
        return Search(name, pixels, tuple(people), threshold, len(gallery), self.caution(threshold))

    def caution(self, threshold: Threshold | None) -> str:
        """Why an answer says nothing about real people; "" where that is not known."""
        return results.caution(self.embedder.trained_on, threshold)

    def _check(self, gallery: Gallery, what: str) -> None:
        if gallery.model.digest != self.embedder.digest:
            raise FormatError(
                f"{what} was made with another model ({gallery.model.digest[:12]}) than this one "
                f"({self.embedder.digest[:12]}); name that model, or enroll the photos anew into another file."
            )


def _entry(photo: Named, face: PhotoFace, keep_face: bool) -> GalleryEntry:
    digest = digests.of_bytes(photo.data)
    crop = face.crop if keep_face else None
    return GalleryEntry(photo.name, photo.source, digest, face.embedding, face.score, face.fallback, crop)
