"""Reading of detection tables, whole or the photos of one job at a time.

A table of millions of photos takes gigabytes in memory, so what only counts, or needs some photos, reads it by groups of
rows (`DetectionTable`); `read_detections` reads all of a table that is known to be small.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from facerec.core import Description, FormatError, size_of
from facerec.detection.faces import Faces
from facerec.store.shards import Shards
from facerec.store.tables import RowGroups, column_names

SCHEMA = pa.schema(
    {
        "photo": pa.int64(),
        "source": pa.string(),
        "view": pa.int8(),
        "face": pa.int32(),
        "box": pa.list_(pa.float32()),
        "landmarks": pa.list_(pa.float32()),
        "score": pa.float32(),
        "width": pa.int32(),
        "height": pa.int32(),
        "error": pa.string(),
    }
)

GROUP = 1 << 16
"""Rows of a group, some 10 MB: what a worker reads for the photos of one job."""


@dataclass(frozen=True)
class DetectionCounts:
    """What a detector found in a set of photos.

    Attributes:
        photos: photos in the set.
        with_face: photos with at least one face.
        several_faces: photos with more than one face.
        faces: faces in all photos.
        undecodable: photos that could not be decoded.
        shortest_side: of all photos, in pixels; 0 if none could be decoded.
        longest_side: likewise.
    """

    photos: int
    with_face: int
    several_faces: int
    faces: int
    undecodable: int
    shortest_side: int
    longest_side: int


@dataclass(frozen=True)
class Detections:
    """A detection table in memory; `detections[i]` are the faces of photo i itself, by descending score.

    Attributes:
        sources: path of each photo in the set.
        errors: why a photo could not be decoded, "" if it could.
        sizes: (n, 2) height and width of the photos, 0 where they could not be decoded.
        starts: (n + 1,) first face of each photo in the arrays of `all_faces`.
        all_faces: faces found in the photos themselves.
        retried_starts: (n + 1,) first face of each photo in the arrays of `all_retried`.
        all_retried: faces found in padded views, in pixels of their photos.
    """

    sources: list[str]
    errors: list[str]
    sizes: NDArray[np.int64]
    starts: NDArray[np.int64]
    all_faces: Faces
    retried_starts: NDArray[np.int64]
    all_retried: Faces

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, photo: int) -> Faces:
        return self.all_faces[self.starts[photo] : self.starts[photo + 1]]

    def retried(self, photo: int) -> Faces:
        """The faces found in the padded view of photo `photo`; none where there was no such view."""
        return self.all_retried[self.retried_starts[photo] : self.retried_starts[photo + 1]]

    def counts(self) -> DetectionCounts:
        """Totals over the set."""
        faces = np.diff(self.starts)
        sides = self.sizes[self.sizes > 0]
        return DetectionCounts(
            photos=len(self),
            with_face=int((faces > 0).sum()),
            several_faces=int((faces > 1).sum()),
            faces=int(faces.sum()),
            undecodable=sum(error != "" for error in self.errors),
            shortest_side=int(sides.min()) if sides.size else 0,
            longest_side=int(sides.max()) if sides.size else 0,
        )


class DetectionTable:
    """An open detection table; FormatError where the file is none or is damaged."""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        with self._explained():
            self._groups = RowGroups(path, SCHEMA)
        self._bounds = self._groups.bounds_of("photo")
        self._kept = lru_cache(2)(self._read)  # photos of the next job are mostly in the same group

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FormatError as error:
            raise FormatError(f"{self.path} is not a readable detection table ({error}); detect again.") from error

    def _read(self, groups: tuple[int, ...]) -> pa.Table:
        with self._explained():
            return self._groups.read(groups)

    def read(self, photos: range) -> Detections:
        """The faces of consecutive photos, of which the first is number 0 of the result."""
        groups = [
            group
            for group, span in enumerate(self._bounds)
            if span is None or (span[0] < photos.stop and span[1] >= photos.start)
        ]
        table = self._kept(tuple(groups)) if groups else SCHEMA.empty_table()
        numbers = self._whole(table, "photo")
        found = self._detections(table.filter((numbers >= photos.start) & (numbers < photos.stop)), photos.start)
        if len(found) != len(photos):
            raise FormatError(f"{self.path} lacks some of the photos {photos.start} to {photos.stop}; detect again.")
        return found

    def read_all(self) -> Detections:
        """The faces of all photos."""
        return self._detections(self._read(tuple(range(len(self._groups)))), 0)

    def is_of(self, photos: Shards) -> bool:
        """Whether its photos are those of a set, in the same order."""
        last = -1
        for group in range(len(self._groups)):
            table = self._read((group,))
            numbers = self._whole(table, "photo")
            if len(numbers) and not last <= numbers[0] <= last + 1:
                return False
            if not np.isin(np.diff(numbers), (0, 1)).all() or (len(numbers) and numbers[-1] >= len(photos)):
                return False
            span = range(int(numbers[0]), int(numbers[-1]) + 1) if len(numbers) else range(0)
            sources = photos.rows(span, ["source"])["source"].take(numbers - span.start)
            if not table["source"].combine_chunks().equals(sources.combine_chunks()):
                return False
            last = span.stop - 1 if len(numbers) else last
        return last == len(photos) - 1

    def faces_of_photos(self) -> NDArray[np.int64]:
        """(n,) number of faces found in each photo itself."""
        return np.concatenate([np.empty(0, np.int64), *(np.diff(each.starts) for each in self._pieces())])

    def counts(self) -> DetectionCounts:
        """Totals over the set."""
        counted = [piece.counts() for piece in self._pieces()]
        sides = [each.shortest_side for each in counted if each.shortest_side]
        return DetectionCounts(
            photos=sum(each.photos for each in counted),
            with_face=sum(each.with_face for each in counted),
            several_faces=sum(each.several_faces for each in counted),
            faces=sum(each.faces for each in counted),
            undecodable=sum(each.undecodable for each in counted),
            shortest_side=min(sides, default=0),
            longest_side=max((each.longest_side for each in counted), default=0),
        )

    def _pieces(self) -> Iterator[Detections]:
        """All photos, those of one group of rows after the other."""
        waiting = SCHEMA.empty_table()  # of the last photo, which may go on in the next group
        for group in range(len(self._groups)):
            table = pa.concat_tables([waiting, self._read((group,))]).combine_chunks()
            numbers = self._whole(table, "photo")
            whole = int(np.searchsorted(numbers, numbers[-1])) if len(numbers) else 0
            if whole:
                yield self._detections(table.slice(0, whole), int(numbers[0]))
            waiting = table.slice(whole)
        if len(waiting):
            yield self._detections(waiting, int(waiting["photo"][0].as_py()))

    def _detections(self, table: pa.Table, first: int) -> Detections:
        """Rows of consecutive photos from number `first` on."""
        photo, view, face = (self._whole(table, name) for name in ("photo", "view", "face"))
        starts = np.flatnonzero(np.diff(photo, prepend=-1))
        if not np.array_equal(photo[starts], np.arange(first, first + len(starts))):
            raise FormatError(f"{self.path} is damaged: its photos are not numbered one by one; detect again.")
        found, padded = photo[face >= 0] - first, view[face >= 0] > 0
        boxes, landmarks = (pc.list_flatten(table[name]).to_numpy() for name in ("box", "landmarks"))
        scores = table["score"].drop_null().to_numpy()
        if not len(boxes) / 4 == len(landmarks) / 10 == len(scores) == len(found):
            raise FormatError(f"{self.path} is damaged: it lacks numbers of some faces; detect again.")
        faces = Faces(boxes.reshape(-1, 4), landmarks.reshape(-1, 5, 2), scores)
        photos = np.arange(len(starts) + 1)
        return Detections(
            sources=table["source"].take(starts).to_pylist(),
            errors=table["error"].take(starts).to_pylist(),
            sizes=np.stack([self._whole(table, side)[starts] for side in ("height", "width")], 1),
            starts=np.searchsorted(found[~padded], photos),
            all_faces=faces[~padded],
            retried_starts=np.searchsorted(found[padded], photos),
            all_retried=faces[padded],
        )

    def _whole(self, table: pa.Table, column: str) -> NDArray[np.int64]:
        """A column of whole numbers; FormatError when one is missing."""
        if table[column].null_count:
            raise FormatError(f"{self.path} is damaged: it lacks some numbers of {column}; detect again.")
        return np.asarray(table[column].to_numpy(), np.int64)


def read_detections(path: str | Path) -> Detections:
    """Read all of a detection table; FormatError when the file is not one."""
    return DetectionTable(path).read_all()


def describe_detections(path: Path) -> Description | None:
    """A detection table, for `facerec inspect`."""
    if not {"photo", "face", "box"} <= column_names(path):
        return None
    found = DetectionTable(path)
    counts = found.counts()
    first = found.read(range(min(5, counts.photos)))
    facts = {**asdict(counts), "bytes": size_of(path), "names": first.sources}
    return Description("table of detections", facts)
