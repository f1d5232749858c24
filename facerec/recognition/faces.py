"""From a photo to its faces, ready to be compared: found, chosen, aligned and embedded as the benchmarks' were.

Choosing and aligning are those of `facerec.aligning`. The crop passes through JPEG as it does there, so that a
benchmark's photo gives the embedding that was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import TypeAlias

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
        landmarks: (5, 2) float32 in photo pixels, ordered as in `facerec.detection.Faces`; None likewise.
        score: of the detector, 0..1; None likewise.
        fallback: where the face was found, of `facerec.aligning.FALLBACKS`.
        crop: JPEG bytes of the aligned face.
        embedding: (dim,) float32 of length 1.
    """

    box: NDArray[np.float32] | None
    landmarks: NDArray[np.float32] | None
    score: float | None
    fallback: str
    crop: bytes
    embedding: NDArray[np.float32]


@dataclass(frozen=True)
class Portrait:
    """A photo and the one face of it that was chosen.

    Attributes:
        name: what the photo is called.
        pixels: RGB (h, w, 3), upright.
        found: all faces that were found where the chosen one was.
        face: the chosen one.
    """

    name: str
    pixels: Pixels
    found: Faces
    face: PhotoFace


@dataclass(frozen=True)
class FaceFinder:
    """Finds and embeds faces: a detector and the score below which it looks again, how a face is chosen, a network."""

    detector: Detector
    retry: float
    options: Align
    embedder: Embedder

    def portraits(self, photos: Iterable[tuple[str, bytes | Pixels]]) -> Iterator[Portrait | FacerecError]:
        """For every photo, by its name, the chosen face, or why there is none (ImageError, NoFaceError)."""
        wanted, seen = tee(photos)
        found = find_faces(self.detector, (data for _, data in wanted), self.retry)
        for (name, data), each in zip(seen, found, strict=True):
            try:
                yield self._portrait(name, data, each)
            except (ImageError, NoFaceError) as error:
                yield error

    def everyone(self, name: str, data: bytes | Pixels) -> tuple[Pixels, list[PhotoFace]]:
        """The photo's pixels and all its faces by descending score; where the detector finds none, the chosen one.

        Raises ImageError for a photo that cannot be decoded and NoFaceError for one without a face.
        """
        found = next(find_faces(self.detector, [data], self.retry))
        everyone = self._everyone(found)
        if not everyone:
            portrait = self._portrait(name, data, found)
            return portrait.pixels, [portrait.face]
        pixels = _decoded(name, data)
        return pixels, self._faces(pixels, everyone)

    def _everyone(self, found: FoundFaces) -> list[fallbacks.ChosenFace]:
        """The faces found in the photo itself, as far as they can be cut out."""
        if "detector" not in self.options.fallbacks:
            return []
        columns, every = vars(found.faces), range(len(found.faces))
        alone = [Faces(**{key: values[row : row + 1] for key, values in columns.items()}) for row in every]
        options = self.options.model_copy(update={"fallbacks": ("detector",)})
        chosen = fallbacks.choose_faces(
            [fallbacks.PhotoFaces(found.size, each, NO_FACES) for each in alone], options
        )
        return [face for face in chosen if isinstance(face, fallbacks.ChosenFace)]

    def _portrait(self, name: str, data: bytes | Pixels, found: FoundFaces) -> Portrait:
        if found.error:
            raise ImageError(f"{name}: {found.error}")
        (chosen,) = fallbacks.choose_faces(
            [fallbacks.PhotoFaces(found.size, found.faces, found.retried)], self.options
        )
        if not isinstance(chosen, fallbacks.ChosenFace):
            raise NoFaceError(f"{name}: {_nobody(chosen, self.options)}")
        pixels = _decoded(name, data)
        faces = found.retried if chosen.fallback == "retry" else found.faces
        return Portrait(name, pixels, faces, self._faces(pixels, [chosen])[0])

    def _faces(self, pixels: Pixels, chosen: Sequence[fallbacks.ChosenFace]) -> list[PhotoFace]:
        matrices = crop_matrices(chosen, [pixels.shape[:2]] * len(chosen), self.options)
        crops = [cut_crop(pixels, matrix, self.options) for matrix in matrices]
        # One at a time: a face's embedding is the same whoever stands beside it, and nothing is filled up.
        embedded = self.embedder.embed(np.stack([images.decode(crop) for crop in crops]), batch=1)
        unit = normalise(embedded)
        if not np.isfinite(unit).all():
            raise FormatError("The network gives an embedding without a direction; its weights are damaged.")
        return [
            PhotoFace(face.box, face.landmarks, face.score, face.fallback, crop, embedding)
            for face, crop, embedding in zip(chosen, crops, unit, strict=True)
        ]


def load_photo(photo: Photo, name: str = "the photo") -> tuple[str, bytes | Pixels]:
    """A photo's name (its path, else `name`) and its content; FormatError where there is no such file."""
    if isinstance(photo, bytes | np.ndarray):
        return name, photo
    path = Path(photo)
    if not path.is_file():
        kind = "is a folder; name one photo in it" if path.is_dir() else "does not exist; name a photo"
        raise FormatError(f"{path} {kind}.")
    return str(photo), path.read_bytes()


def _decoded(name: str, data: bytes | Pixels) -> Pixels:
    try:
        return data if isinstance(data, np.ndarray) else images.decode(data)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error


def _nobody(reason: FacerecError, options: Align) -> str:
    """Why there is no face and what to try."""
    advice = "lower min_face, or try another detector"
    if "crop" not in options.fallbacks:
        advice += "; for a photo of nothing but a face add the fallback crop"
    return f"{str(reason).rstrip('.')}; {advice}."
