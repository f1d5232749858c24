"""`Recogniser`: compares photos, makes gallery entries and searches galleries, with one network and one detector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import Any

from facerec import detection, embedding
from facerec import params as parameters
from facerec.aligning.crops import options_for_network
from facerec.core import FacerecError, FormatError, ParamsError, sha256_of_bytes, torch_device
from facerec.detection import Detector
from facerec.recognition import results, thresholds
from facerec.recognition.faces import FaceFinder, Photo, PhotoFace, Portrait, load_photo
from facerec.recognition.results import Candidate, IdentifiedFace, PhotoComparison, SearchResult
from facerec.recognition.thresholds import Measurement, Threshold
from facerec.store import gallery as galleries
from facerec.store.gallery import Gallery, GalleryEntry


@dataclass(frozen=True)
class NamedPhoto:
    """The encoded bytes of a photo, the name of the person in it, and where it comes from."""

    name: str
    source: str
    data: bytes


@dataclass(frozen=True)
class EnrolledPhoto:
    """The gallery entry of a photo, and how many faces were found in it."""

    entry: GalleryEntry
    faces: int


@dataclass(frozen=True)
class RefusedPhoto:
    """A photo that could not be enrolled, and why."""

    source: str
    reason: str


class Recogniser:
    """A network and a detector for comparing photos and searching galleries.

    The way faces are found and chosen changes similarities: on one synthetic pair, raising MTCNN's smallest face from
    20 to 40 pixels changed the cosine from .75 to .90. So a threshold holds for the settings it was measured with,
    which `of_experiment` takes from params.yaml. Runs on the device of FACEREC_DEVICE.

    Args:
        model: anything that `facerec.embedding.load_embedder` takes.
        detector: name of a detector of `facerec.detection`, or a detector.
        options: of the detector, by name (weights, min_face, ...).
        retry: photos whose best face scores less are looked at again, as `detect.retry` says.
        choosing: fields of `facerec.params.Align` (rule, fallbacks, min_score, ...): which face of a photo is used.

    Raises:
        ParamsError: for an unknown detector, rule or option.
        FormatError: for a file that is no network or does not declare its preprocessing.
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
        preprocessing = self.embedder.preprocessing
        crops = options_for_network(preprocessing.size, preprocessing.template, **choosing)
        if isinstance(detector, str):
            detector = detection.build_detector(detector, **(options or {}))
        self.name = str(model)
        self.finder = FaceFinder(detector, retry, crops, self.embedder)

    @classmethod
    def of_experiment(
        cls,
        params: str | Path = "params.yaml",
        *,
        model: str | Path | None = None,
        detector: str | None = None,
        options: Mapping[str, Any] | None = None,
        rule: str | None = None,
        fallbacks: Sequence[str] | None = None,
    ) -> Recogniser:
        """The network, detector and choice of faces of the experiment in `params`; other arguments replace single ones.

        Raises ParamsError for a wrong file or setting and FormatError for a network that is not there yet.
        """
        experiment = parameters.load_params(params)
        detect, align = experiment.detect, experiment.align
        known = detect.options() if detector in (None, detect.detector) else {}
        return cls(
            model or experiment.model,
            detector or detect.detector,
            {**known, **(options or {})},
            detect.retry,
            rule=rule or align.rule,
            fallbacks=tuple(fallbacks or align.fallbacks),
            **align.model_dump(include={"min_score", "quality", "subsampling"}),
        )

    @property
    def model(self) -> galleries.GalleryModel:
        """The description of the network that galleries keep."""
        known = self.embedder
        return galleries.GalleryModel(known.digest, known.dim, known.preprocessing.to_dict(), known.trained_on)

    def faces(self, photo: Photo) -> list[PhotoFace]:
        """All faces of a photo, by descending score; NoFaceError where there is none."""
        return self.finder.all_faces(*load_photo(photo))[1]

    def portrait(self, photo: Photo, name: str = "the photo") -> Portrait:
        """The face of a photo that the rule chooses; NoFaceError where there is none."""
        found = next(self.finder.portraits([load_photo(photo, name)]))
        if isinstance(found, FacerecError):
            raise found
        return found

    def measured(self, scores: str | Path | None = None) -> Measurement | None:
        """This model's measurement in `scores`, else on the largest benchmark of data/scores; None without one.

        Raises FormatError where `scores` are those of another model.
        """
        if scores is None:
            return thresholds.find_measurement(self.embedder.digest)
        return thresholds.read_measurement(scores, self.embedder.digest)

    def threshold(self, far: float = 1e-2, scores: str | Path | None = None) -> Threshold | None:
        """The threshold at the false accept rate `far` by the measurement `measured(scores)`; None without one."""
        measured = self.measured(scores)
        return None if measured is None else measured.at(far)

    def compare(self, first: Photo, second: Photo, threshold: Threshold | None = None) -> PhotoComparison:
        """How similar two photos are and, with a `threshold`, whether they show one person."""
        a, b = self.portrait(first, "the first photo"), self.portrait(second, "the second photo")
        similarity = float(thresholds.cosine_similarities(a.face.embedding, b.face.embedding)[0, 0])
        return PhotoComparison(a, b, similarity, threshold, self.caution(threshold))

    def gallery(self, path: str | Path | None = None) -> Gallery:
        """The gallery in the file `path`, or an empty one; FormatError where another model made it."""
        if path is None:
            return Gallery(self.model)
        found = galleries.read_gallery(path)
        self._check_model(found, f"{path}")
        return found

    def enroll(self, photos: Iterable[NamedPhoto], keep_faces: bool = True) -> Iterator[EnrolledPhoto | RefusedPhoto]:
        """For every photo the gallery entry of its chosen face, or why there is none.

        `Gallery.with_entries` adds the entries. With `keep_faces` they hold the aligned face beside the embedding.
        """
        seen, given = tee(photos)
        found = self.finder.portraits((photo.source, photo.data) for photo in given)
        for photo, portrait in zip(seen, found, strict=True):
            if isinstance(portrait, FacerecError):
                yield RefusedPhoto(photo.source, str(portrait).removeprefix(f"{photo.source}: "))
            else:
                yield EnrolledPhoto(_gallery_entry(photo, portrait.face, keep_faces), len(portrait.found))

    def search(
        self,
        gallery: Gallery,
        photo: Photo,
        threshold: Threshold | None = None,
        top: int = 5,
        all_faces: bool = True,
        every_photo: bool = False,
    ) -> SearchResult:
        """The people of a gallery in a photo.

        Args:
            gallery: made with the same network.
            photo: one with any number of faces.
            threshold: decides whether the most similar person is named.
            top: how many candidates each face gets.
            all_faces: whether all faces of the photo are searched for, or only the one the rule chooses.
            every_photo: whether all photos of a person are candidates, or only the most similar one.

        Raises:
            FormatError: for a gallery of another model or without photos.
            NoFaceError: for a photo without a face.
        """
        self._check_model(gallery, "this gallery")
        if not len(gallery):
            raise FormatError("the gallery holds nobody; enroll photos first.")
        name, data = load_photo(photo)
        if all_faces:
            pixels, faces = self.finder.all_faces(name, data)
        else:
            portrait = self.portrait(photo)
            pixels, faces = portrait.pixels, [portrait.face]
        similarities = thresholds.cosine_similarities([face.embedding for face in faces], gallery.matrix)
        names = [entry.name for entry in gallery.entries]
        people = []
        for face, row in zip(faces, similarities, strict=True):
            best = thresholds.rank_gallery(row, names, every_photo)[: max(top, 1)]
            candidates = tuple(Candidate(gallery.entries[place], float(row[place])) for place in best)
            known = threshold is not None and threshold.accepts(candidates[0].similarity)
            people.append(IdentifiedFace(face, candidates, candidates[0].entry.name if known else None))
        return SearchResult(name, pixels, tuple(people), threshold, len(gallery), self.caution(threshold))

    def caution(self, threshold: Threshold | None) -> str:
        """Why a result is no evidence about real people: trained or measured on rendered faces only; else ""."""
        return results.describe_caution(self.embedder.trained_on, threshold)

    def _check_model(self, gallery: Gallery, what: str) -> None:
        if gallery.model.digest != self.embedder.digest:
            raise FormatError(
                f"{what} was made with another model ({gallery.model.digest[:12]}) than this one "
                f"({self.embedder.digest[:12]}); name that model, or enroll the photos anew into another file."
            )


def _gallery_entry(photo: NamedPhoto, face: PhotoFace, keep_face: bool) -> GalleryEntry:
    digest = sha256_of_bytes(photo.data)
    crop = face.crop if keep_face else None
    return GalleryEntry(photo.name, photo.source, digest, face.embedding, face.score, face.fallback, crop)
