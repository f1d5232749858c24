"""The faces of a photo, detected, chosen, aligned and embedded in the way of the benchmarks.

Choosing and aligning use `facerec.aligning`, and the crop is encoded as JPEG as it is there. So a benchmark's photo
gets the embedding that was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facerec.aligning import fallbacks
from facerec.aligning.crops import crop_matrices, cut_crop
from facerec.core import FacerecError, FormatError, ImageError
from facerec.detection import Detector, Faces
from facerec.detection.finding import NO_FACES, FoundFaces, find_faces
from facerec.embedding import Embedder
from facerec.imaging import images
from facerec.params import Align
from facerec.store.embeddings import normalise

Pixels: TypeAlias = NDArray[np.uint8]

Photo: TypeAlias = str | Path | bytes | Pixels
"""A photo's path, its encoded bytes, or its RGB pixels (h, w, 3)."""


class NoFaceError(FacerecError):
    """No face was found in a photo, or none that can be aligned."""


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
        landmarks = None if self.landmarks is None else [_rounded(point) for point in self.landmarks]
        return {
            "box": None if self.box is None else _rounded(self.box),
            "landmarks": landmarks,
            "score": None if self.score is None else round(self.score, 5),
            "rung": self.fallback,
        }


@dataclass(frozen=True)
class Portrait:
    """A photo and its chosen face.

    Attributes:
        name: of the photo.
        pixels: RGB (h, w, 3), upright.
        found: all faces of the pass of the detector that found the chosen one.
        face: the chosen one.
    """

    name: str
    pixels: Pixels
    found: Faces
    face: PhotoFace


@dataclass(frozen=True)
class FaceFinder:
    """Finds, chooses, aligns and embeds faces.

    Attributes:
        detector: finds the faces.
        retry: photos whose best face scores less are looked at again, as `detect.retry` says.
        options: how a face is chosen and cropped.
        embedder: the network.
    """

    detector: Detector
    retry: float
    options: Align
    embedder: Embedder

    def portraits(self, photos: Iterable[tuple[str, bytes | Pixels]]) -> Iterator[Portrait | FacerecError]:
        """For every photo (name, content) its chosen face, or the error why there is none (ImageError, NoFaceError)."""
        wanted, seen = tee(photos)
        found = find_faces(self.detector, (data for _, data in wanted), self.retry)
        for (name, data), each in zip(seen, found, strict=True):
            try:
                yield self._portrait(name, data, each)
            except (ImageError, NoFaceError) as error:
                yield error

    def all_faces(self, name: str, data: bytes | Pixels) -> tuple[Pixels, list[PhotoFace]]:
        """The photo's pixels and all its faces by descending score; where the detector finds none, that of a fallback.

        Raises ImageError for a photo that cannot be decoded and NoFaceError for one without a face.
        """
        found = next(find_faces(self.detector, [data], self.retry))
        detected = self._detected(found)
        if not detected:
            portrait = self._portrait(name, data, found)
            return portrait.pixels, [portrait.face]
        pixels = _decoded(name, data)
        return pixels, self._embedded(pixels, detected)

    def _detected(self, found: FoundFaces) -> list[fallbacks.ChosenFace]:
        """The faces that the detector found in the photo and that can be cropped."""
        if "detector" not in self.options.fallbacks:
            return []
        columns, every = vars(found.faces), range(len(found.faces))
        alone = [Faces(**{key: values[row : row + 1] for key, values in columns.items()}) for row in every]
        options = self.options.model_copy(update={"fallbacks": ("detector",)})
        chosen = fallbacks.choose_faces([fallbacks.PhotoFaces(found.size, each, NO_FACES) for each in alone], options)
        return [face for face in chosen if isinstance(face, fallbacks.ChosenFace)]

    def _portrait(self, name: str, data: bytes | Pixels, found: FoundFaces) -> Portrait:
        if found.error:
            raise ImageError(f"{name}: {found.error}")
        (chosen,) = fallbacks.choose_faces([fallbacks.PhotoFaces(found.size, found.faces, found.retried)], self.options)
        if not isinstance(chosen, fallbacks.ChosenFace):
            raise NoFaceError(f"{name}: {_no_face_advice(chosen, self.options)}")
        pixels = _decoded(name, data)
        faces = found.retried if chosen.fallback == "retry" else found.faces
        return Portrait(name, pixels, faces, self._embedded(pixels, [chosen])[0])

    def _embedded(self, pixels: Pixels, chosen: Sequence[fallbacks.ChosenFace]) -> list[PhotoFace]:
        matrices = crop_matrices(chosen, [pixels.shape[:2]] * len(chosen), self.options)
        crops = [cut_crop(pixels, matrix, self.options) for matrix in matrices]
        # One at a time, so that an embedding does not depend on the other faces, and no batch is padded.
        embedded = self.embedder.embed(np.stack([images.decode(crop) for crop in crops]), batch=1)
        unit = normalise(embedded)
        if not np.isfinite(unit).all():
            raise FormatError("The network gives an embedding without a direction; its weights are damaged.")
        return [
            PhotoFace(face.box, face.landmarks, face.score, face.fallback, crop, embedding)
            for face, crop, embedding in zip(chosen, crops, unit, strict=True)
        ]


def load_photo(photo: Photo, name: str = "the photo") -> tuple[str, bytes | Pixels]:
    """A photo's name (its path, else `name`) and its content; FormatError where the file is missing."""
    if isinstance(photo, bytes | np.ndarray):
        return name, photo
    path = Path(photo)
    if not path.is_file():
        kind = "is a folder; name one photo in it" if path.is_dir() else "does not exist; name a photo"
        raise FormatError(f"{path} {kind}.")
    return str(photo), path.read_bytes()


def _rounded(values: NDArray[np.float32]) -> list[float]:
    return [round(float(value), 2) for value in values]


def _decoded(name: str, data: bytes | Pixels) -> Pixels:
    try:
        return data if isinstance(data, np.ndarray) else images.decode(data)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error


def _no_face_advice(reason: FacerecError, options: Align) -> str:
    """The reason why there is no face, with advice."""
    advice = "lower min_face, or try another detector"
    if "crop" not in options.fallbacks:
        advice += "; for a photo of nothing but a face add the fallback crop"
    return f"{str(reason).rstrip('.')}; {advice}."
