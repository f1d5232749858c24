"""`Recogniser`: compares photos, makes gallery entries and searches galleries, with one network and one detector.

Faces are chosen and aligned by `facerec.aligning`, and crops encoded as JPEG, as those of a benchmark are. So a
benchmark's photo gets the embedding that was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from facerec import detection, embedding
from facerec import params as parameters
from facerec.aligning.crops import crop_matrices, cut_crop, options_for_network
from facerec.aligning.fallbacks import ChosenFace, PhotoFaces, choose_faces
from facerec.catalog import networks
from facerec.core import FacerecError, FormatError, ImageError, ParamsError, sha256_of_bytes, torch_device
from facerec.detection import NO_FACES, Detector, Faces, FoundFaces, find_faces
from facerec.imaging import images
from facerec.recognition import ranking, results, thresholds
from facerec.recognition.results import (
    Candidate,
    IdentifiedFace,
    PhotoComparison,
    PhotoFace,
    Pixels,
    Portrait,
    SearchResult,
)
from facerec.recognition.thresholds import Measurement, Threshold
from facerec.store import gallery as galleries
from facerec.store.embeddings import normalise
from facerec.store.gallery import Gallery, GalleryEntry, StoredGallery

Photo: TypeAlias = str | Path | bytes | Pixels
"""A photo's path, its encoded bytes, or its RGB pixels (h, w, 3)."""


class NoFaceError(FacerecError):
    """No face was found in a photo, or none that can be aligned."""


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
        model: anything that `facerec.embedding.load_embedder` takes, or the name of a model of the catalog or an
            hf:// address, which is downloaded first.
        detector: name of a detector of `facerec.detection` or of weights of the catalog, or a detector; by default
            the one that a model of the catalog was measured with, and MTCNN for any other.
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
        detector: str | Detector | None = None,
        options: Mapping[str, Any] | None = None,
        retry: float = 0.5,
        **choosing: Any,
    ) -> None:
        if choosing.get("rule", "center") not in detection.RULES:
            raise ParamsError(f"No rule {choosing['rule']!r} to choose a face; use {', '.join(detection.RULES)}.")
        if detector is None:
            listed = networks.is_listed(str(model), "model")
            detector, weights = networks.measured_detector(str(model)) if listed else ("mtcnn", None)
            options = {**({"weights": weights} if weights else {}), **(options or {})}
        self._place = networks.network_place(str(model))
        self.embedder = embedding.load_embedder(self._place, torch_device())
        preprocessing = self.embedder.preprocessing
        crops = options_for_network(preprocessing.size, preprocessing.template, **choosing)
        if isinstance(detector, str):
            detector = _build_detector(detector, options or {})
        self.name = str(model)
        self.detector, self.retry, self.options = detector, retry, crops

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
        return self._all_faces(*load_photo(photo))[1]

    def portrait(self, photo: Photo, name: str = "the photo") -> Portrait:
        """The face of a photo that the rule chooses; NoFaceError where there is none."""
        name, data = load_photo(photo, name)
        return self._portrait(name, data, next(find_faces(self.detector, [data], self.retry)))

    def measured(self, scores: str | Path | None = None) -> Measurement | None:
        """This model's measurement in `scores`, else on the largest benchmark of data/scores; None without one.

        For a published model that was not measured here, it is the measurement that comes with its folder or its entry of
        the catalog. Raises FormatError where `scores` are those of another model.
        """
        digest = self.embedder.digest
        if scores is not None:
            return thresholds.read_measurement(scores, digest)
        places = (thresholds.FOLDER, self._place / "scores", networks.shipped_scores())
        found = (thresholds.find_measurement(digest, folder) for folder in places)
        return next((each for each in found if each is not None), None)

    def threshold(self, far: float = 1e-2, scores: str | Path | None = None) -> Threshold | None:
        """The threshold at the false accept rate `far` by the measurement `measured(scores)`; None without one."""
        measured = self.measured(scores)
        return None if measured is None else measured.at(far)

    def compare(self, first: Photo, second: Photo, threshold: Threshold | None = None) -> PhotoComparison:
        """How similar two photos are and, with a `threshold`, whether they show one person."""
        a, b = self.portrait(first, "the first photo"), self.portrait(second, "the second photo")
        similarity = float(ranking.cosine_similarities(a.face.embedding, b.face.embedding)[0, 0])
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
        every = find_faces(self.detector, (photo.data for photo in given), self.retry)
        for photo, found in zip(seen, every, strict=True):
            try:
                portrait = self._portrait(photo.source, photo.data, found)
            except (ImageError, NoFaceError) as error:
                yield RefusedPhoto(photo.source, str(error).removeprefix(f"{photo.source}: "))
            else:
                face, digest = portrait.face, sha256_of_bytes(photo.data)
                known = (digest, face.embedding, face.score, face.fallback, face.crop if keep_faces else None)
                yield EnrolledPhoto(GalleryEntry(photo.name, photo.source, *known), len(portrait.found))

    def stored_gallery(self, path: str | Path) -> StoredGallery:
        """The gallery in the file `path`, to be searched without reading it whole; raises as `gallery`."""
        found = StoredGallery(path)
        self._check_model(found, f"{path}")
        return found

    def search(
        self,
        gallery: Gallery | StoredGallery,
        photo: Photo,
        threshold: Threshold | None = None,
        top: int = 5,
        all_faces: bool = True,
        every_photo: bool = False,
    ) -> SearchResult:
        """The people of a gallery in a photo.

        Args:
            gallery: made with the same network; a `stored_gallery` is searched in blocks, whatever its size.
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
            raise FormatError("the gallery is empty; enroll photos first.")
        name, data = load_photo(photo)
        if all_faces:
            pixels, faces = self._all_faces(name, data)
        else:
            portrait = self.portrait(photo)
            pixels, faces = portrait.pixels, [portrait.face]
        embeddings = [face.embedding for face in faces]
        ranked = ranking.best_matches(embeddings, gallery.blocks(), max(top, 1), every_photo)
        entries = gallery.entries_of({row for matches in ranked for row, _ in matches})
        people = []
        for face, matches in zip(faces, ranked, strict=True):
            candidates = tuple(Candidate(entries[row], similarity) for row, similarity in matches)
            known = threshold is not None and threshold.accepts(candidates[0].similarity)
            people.append(IdentifiedFace(face, candidates, candidates[0].entry.name if known else None))
        return SearchResult(name, pixels, tuple(people), threshold, len(gallery), self.caution(threshold))

    def caution(self, threshold: Threshold | None) -> str:
        """Why a result is no evidence about real people: trained or measured on rendered faces only; else ""."""
        return results.describe_caution(self.embedder.trained_on, threshold)

    def _all_faces(self, name: str, data: bytes | Pixels) -> tuple[Pixels, list[PhotoFace]]:
        """The photo's pixels and all its faces by descending score; where the detector finds none, that of a fallback."""
        found = next(find_faces(self.detector, [data], self.retry))
        detected = self._detected(found)
        if detected:
            pixels = _decoded(name, data)
            return pixels, self._embedded(pixels, detected)
        portrait = self._portrait(name, data, found)
        return portrait.pixels, [portrait.face]

    def _detected(self, found: FoundFaces) -> list[ChosenFace]:
        """The faces that the detector found in the photo and that can be cropped."""
        if "detector" not in self.options.fallbacks:
            return []
        columns, every = vars(found.faces), range(len(found.faces))
        alone = [Faces(**{key: values[row : row + 1] for key, values in columns.items()}) for row in every]
        options = self.options.model_copy(update={"fallbacks": ("detector",)})
        chosen = choose_faces([PhotoFaces(found.size, each, NO_FACES) for each in alone], options)
        return [face for face in chosen if isinstance(face, ChosenFace)]

    def _portrait(self, name: str, data: bytes | Pixels, found: FoundFaces) -> Portrait:
        if found.error:
            raise ImageError(f"{name}: {found.error}")
        (chosen,) = choose_faces([PhotoFaces(found.size, found.faces, found.retried)], self.options)
        if not isinstance(chosen, ChosenFace):
            last = (
                "" if "crop" in self.options.fallbacks else "; for a photo of nothing but a face add the fallback crop"
            )
            advice = f"lower min_face, or try another detector{last}"
            raise NoFaceError(f"{name}: {str(chosen).rstrip('.')}; {advice}.")
        pixels = _decoded(name, data)
        faces = found.retried if chosen.fallback == "retry" else found.faces
        return Portrait(name, pixels, faces, self._embedded(pixels, [chosen])[0])

    def _embedded(self, pixels: Pixels, chosen: Sequence[ChosenFace]) -> list[PhotoFace]:
        matrices = crop_matrices(chosen, [pixels.shape[:2]] * len(chosen), self.options)
        crops = [cut_crop(pixels, matrix, self.options) for matrix in matrices]
        # One at a time, so that an embedding does not depend on the other faces, and no batch is padded.
        unit = normalise(self.embedder.embed(np.stack([images.decode(crop) for crop in crops]), batch=1))
        if not np.isfinite(unit).all():
            raise FormatError("The network gives an embedding without a direction; its weights are damaged.")
        return [
            PhotoFace(face.box, face.landmarks, face.score, face.fallback, crop, embedding)
            for face, crop, embedding in zip(chosen, crops, unit, strict=True)
        ]

    def _check_model(self, gallery: Gallery | StoredGallery, what: str) -> None:
        if gallery.model.digest != self.embedder.digest:
            raise FormatError(
                f"{what} was made with another model ({gallery.model.digest[:12]}) than this one "
                f"({self.embedder.digest[:12]}); name that model, or enroll the photos anew into another file."
            )


def _build_detector(name: str, options: Mapping[str, Any]) -> Detector:
    """The detector of this name, or the one that the weights of this name in the catalog belong to."""
    weights = options.get("weights")
    detector, files = networks.detector_files(name, weights and str(weights))
    return detection.build_detector(detector, **{**options, **files})


def load_photo(photo: Photo, name: str = "the photo") -> tuple[str, bytes | Pixels]:
    """A photo's name (its path, else `name`) and its content; FormatError where the file is missing."""
    if isinstance(photo, bytes | np.ndarray):
        return name, photo
    check_photo(Path(photo))
    return str(photo), Path(photo).read_bytes()


def check_photo(path: Path) -> None:
    """Raise FormatError unless the file is there."""
    if not path.is_file():
        kind = "is a folder; name one photo in it" if path.is_dir() else "does not exist; name a photo"
        raise FormatError(f"{path} {kind}.")


def _decoded(name: str, data: bytes | Pixels) -> Pixels:
    try:
        return data if isinstance(data, np.ndarray) else images.decode(data)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
