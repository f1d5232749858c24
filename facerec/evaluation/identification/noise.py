"""Noise removal: features of FaceScrub and MegaFace without the faces that are known to be mislabelled.

Four variants in use, named because they give different numbers:

    published   InsightFace's: every feature gets one more dimension, 0. A noisy distractor has 100 there, so
                it ranks behind everyone. A noisy probe becomes its person's normalised sum of clean features
                plus U(-.001, .001): still counted, but harmless. That random draw is seeded here, by person,
                so it does not depend on the order of the list.
    centre      as published, without the random draw: a noisy probe is its person's centre itself.
    zero        noisy features become vectors of zeros. The devkit scores those -1 against everyone, as it does
                a stranger at cosine .5: such a distractor is far from harmless.
    delete      noisy rows are dropped, which changes the number of probes, pairs and distractors.

Sources: the descriptions of InsightFace's `remove_noises.py`, written for 512 dimensions, this for any; FaceX-Zoo
(centre, zero); InsightFace-v3 (delete).
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.core import FormatError, ParamsError
from facerec.evaluation.identification.scoring import Bools, FeatureRows, Floats, Ints
from facerec.store.embeddings import normalise

VARIANTS = ("published", "centre", "zero", "delete")
_FAR = 100.0  # in the extra dimension: |x - y|^2 is then at least 10,000
_JITTER = 1e-3
_ROWS = 1024  # in memory at a time


@dataclass(frozen=True)
class CleanedFeatures:
    """Features after noise removal.

    Attributes:
        probes, distractors: (n', d') and (m', d') cleaned features.
        kept_probes, kept_distractors: rows of the originals that these are, ascending.
        noisy_distractors: rows of the original distractors that are noise, ascending.
        probe_counts, distractor_counts: (entries listed as noise, how many of them are among the rows).
    """

    probes: Floats
    distractors: Any
    kept_probes: Ints
    kept_distractors: Ints
    noisy_distractors: Ints
    probe_counts: tuple[int, int]
    distractor_counts: tuple[int, int]

    def metrics(self) -> dict[str, int]:
        """Flat counts for a metrics file."""
        names = ("probes_listed", "probes_matched", "distractors_listed", "distractors_matched")
        return dict(zip(names, (*self.probe_counts, *self.distractor_counts), strict=True))


class CleanDistractors:
    """Distractors after noise removal, a slice of rows at a time, so that they need not fit in memory."""

    def __init__(self, rows: FeatureRows, noisy: Bools, variant: str) -> None:
        """Clean (m, d) rows of those that are `noisy` (m,)."""
        if variant not in VARIANTS:
            raise ParamsError(f"There is no noise variant {variant!r}; choose from {', '.join(VARIANTS)}.")
        self._rows, self._noisy, self._variant = rows, noisy, variant
        self.kept: Ints = np.flatnonzero(~noisy) if variant == "delete" else np.arange(len(noisy))
        self.shape = (len(self.kept), rows.shape[1] + _widens(variant))
        self.dtype, self.ndim = np.dtype(np.float32), 2

    def __len__(self) -> int:
        return len(self.kept)

    def __iter__(self) -> Iterator[Floats]:
        for start in range(0, len(self), _ROWS):
            yield from self[start : start + _ROWS]

    def __getitem__(self, rows: slice) -> Floats:
        """The cleaned rows of a contiguous slice, as a new array."""
        chosen = self.kept[rows]
        if not len(chosen):
            return np.empty((0, self.shape[1]), dtype=np.float32)
        first = int(chosen[0])
        taken = self._rows[first : int(chosen[-1]) + 1]
        clean = np.array(taken if len(taken) == len(chosen) else taken[chosen - first], dtype=np.float32)
        if _widens(self._variant):
            clean = _widen(clean)
            clean[self._noisy[chosen], -1] = _FAR
        elif self._variant == "zero":
            clean[self._noisy[chosen]] = 0
        return clean


def remove_noise(
    probes: NDArray[np.floating],
    labels: Sequence[Any] | NDArray[Any],
    probe_names: Sequence[str],
    distractors: FeatureRows,
    distractor_names: Sequence[str],
    probe_noise: Collection[str],
    distractor_noise: Collection[str],
    variant: str = "published",
    seed: int = 0,
) -> CleanedFeatures:
    """Clean (n, d) probes and (m, d) distractors of the faces named as noise.

    Args:
        probes: L2-normalised features; NaN rows (missing faces) stay NaN and add to no sum.
        labels: (n,) identity of each probe.
        probe_names: (n,) names in any spelling that `facescrub_key` takes.
        distractors: L2-normalised features of strangers. An array gives an array; rows on disk, such as a memory
            map or a matrix that `read_embeddings` mapped, are cleaned when they are read.
        distractor_names: (m,) names in any spelling that `megaface_key` takes.
        probe_noise, distractor_noise: names listed as noise; those that are absent are only counted. Entries of
            probes may have folders: 'Ann/1.jpg' is not 'Bob/1.jpg', while in 'A B/A B_12.jpg' the base name is enough.
        variant: "published", "centre", "zero" or "delete".
        seed: of the published variant's random draw.

    Raises:
        FormatError: when names or labels do not fit the matrices.
        ParamsError: for an unknown variant.
    """
    for what, names, rows in (
        ("distractor names", distractor_names, distractors.shape[0]),
        ("probe labels", labels, len(probes)),
        ("probe names", probe_names, len(probes)),
    ):
        if len(names) != rows:
            raise FormatError(f"There are {len(names)} {what} for {rows} rows of features; give one a row.")
    photos = [(facescrub_key(name), _with_folder(name)) for name in probe_names]
    strangers = [(megaface_key(name),) for name in distractor_names]
    wrong, known = [_named(entry) for entry in probe_noise], [megaface_key(entry) for entry in distractor_noise]
    noisy = _match(strangers, known)
    others = CleanDistractors(distractors, noisy, variant)
    clean, kept = _clean_probes(probes, np.asarray(labels), _match(photos, wrong), variant, seed)
    whole = others if _is_on_disk(distractors) else others[: others.shape[0]]
    counts = (
        (len(listed), len(set(listed).intersection(chain.from_iterable(names))))
        for listed, names in ((wrong, photos), (known, strangers))
    )
    return CleanedFeatures(clean, whole, kept, others.kept, np.flatnonzero(noisy), *counts)


def _is_on_disk(rows: FeatureRows) -> bool:
    """Whether rows are no array in memory: a map of a file, a view of one, or something that reads them."""
    base: Any = rows
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return isinstance(base, np.memmap) or not isinstance(rows, np.ndarray)


def _clean_probes(
    probes: NDArray[np.floating], labels: NDArray[Any], noisy: Bools, variant: str, seed: int
) -> tuple[Floats, Ints]:
    """(cleaned features, the rows of the originals that these are); arguments as in `remove_noise`."""
    if variant == "delete":
        kept = np.flatnonzero(~noisy)
        return np.asarray(probes[kept], dtype=np.float32), kept
    clean = _widen(probes) if _widens(variant) else np.array(probes, dtype=np.float32)
    if variant == "zero":
        clean[noisy] = 0
    else:
        _replace(clean[:, :-1], labels, noisy, seed if variant == "published" else None)
    return clean, np.arange(len(probes))


def _match(photos: Sequence[tuple[str, ...]], noise: Collection[str]) -> Bools:
    """(n,) whether one of the names of each photo is on the noise list."""
    noisy = frozenset(noise)
    return np.fromiter((any(name in noisy for name in names) for names in photos), dtype=bool, count=len(photos))


def _widens(variant: str) -> bool:
    return variant in ("published", "centre")


def _widen(rows: NDArray[np.floating]) -> Floats:
    wide = np.zeros((rows.shape[0], rows.shape[1] + 1), dtype=np.float32)
    wide[:, :-1] = rows
    return wide


def _replace(probes: Floats, labels: NDArray[Any], noisy: Bools, seed: int | None) -> None:
    """Give each noisy row its person's clean sum, normalised, in place; with a seed plus a little noise."""
    clean = ~noisy & ~np.isnan(probes).any(axis=1)
    for label in np.unique(labels[noisy]):
        rows = np.flatnonzero(noisy & (labels == label))
        replacement = np.tile(probes[clean & (labels == label)].sum(axis=0, dtype=np.float64), (len(rows), 1))
        if seed is not None:
            generator = np.random.default_rng([seed, zlib.crc32(str(label).encode())])
            replacement += generator.uniform(-_JITTER, _JITTER, size=replacement.shape)
        probes[rows] = normalise(replacement)


_EXTENSIONS = {".jpg", ".jpeg", ".png", ".gif", ".bmp"}


def facescrub_key(photo: str) -> str:
    """The base name of the cropped list: 'A B/A B_12.JPG', 'A_B/A_B_12' and 'A_B_12.jpg' are A_B_12.png."""
    path = PurePosixPath(photo.strip())
    stem = path.stem if path.suffix.lower() in _EXTENSIONS else path.name
    return f"{stem.replace(' ', '_')}.png"


def _with_folder(photo: str) -> str:
    """Folder and base name, spelled as `facescrub_key` does: 'Ann Lee/1.jpg' is Ann_Lee/1.png."""
    folder = PurePosixPath(photo.strip()).parent.name.replace(" ", "_")
    return f"{folder}/{facescrub_key(photo)}"


def _named(entry: str) -> str:
    """What an entry of a list of probes names: a base name, and where that does not begin with its folder, both."""
    folder, base = _with_folder(entry).split("/")
    return base if base.startswith(folder) else f"{folder}/{base}"


def megaface_key(photo: str) -> str:
    """'a1/a2/name' of a distractor, whatever folders lead there."""
    return "/".join(PurePosixPath(photo.strip()).parts[-3:])
