"""Noise removal: what known mislabelled faces of FaceScrub and MegaFace do to the features.

Two of the variants in use, named because they give different numbers:

    published   InsightFace's: every feature gets one more dimension, 0. A noisy distractor has 100 there, so
                it ranks behind everyone. A noisy probe becomes its person's normalised sum of clean features
                plus U(-.001, .001): still counted, but harmless. That random draw is seeded here, by person,
                so it does not depend on the order of the list.
    delete      noisy rows are dropped, which changes the number of probes, pairs and distractors.

Source: the description of InsightFace's `remove_noises.py`; it is written for 512 dimensions, this for any.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.errors import FormatError, ParamsError
from facerec.identification.scores import Floats, Ints

VARIANTS = ("published", "delete")
_FAR = 100.0  # in the extra dimension: |x - y|^2 is then at least 10,000
_JITTER = 1e-3


@dataclass(frozen=True)
class Cleaned:
    """Features after noise removal.

    Attributes:
        probes, distractors: (n', d') and (m', d') cleaned features.
        kept_probes, kept_distractors: rows of the originals that these are, ascending.
        probe_counts, distractor_counts: (entries listed as noise, how many of them are among the rows).
    """

    probes: Floats
    distractors: Floats
    kept_probes: Ints
    kept_distractors: Ints
    probe_counts: tuple[int, int]
    distractor_counts: tuple[int, int]

    def metrics(self) -> dict[str, int]:
        """Flat counts for a metrics file."""
        names = ("probes_listed", "probes_matched", "distractors_listed", "distractors_matched")
        return dict(zip(names, (*self.probe_counts, *self.distractor_counts), strict=True))


def remove_noise(
    probes: NDArray[np.floating],
    labels: Sequence[Any] | NDArray[Any],
    probe_names: Sequence[str],
    distractors: NDArray[np.floating],
    distractor_names: Sequence[str],
    probe_noise: Collection[str],
    distractor_noise: Collection[str],
    variant: str = "published",
    seed: int = 0,
) -> Cleaned:
    """Clean (n, d) probes and (m, d) distractors of the faces named as noise.

    Args:
        probes: L2-normalised features; NaN rows (faces not enrolled) stay NaN and add to no sum.
        labels: (n,) identity of each probe.
        probe_names: (n,) names as the noise list has them (FaceScrub: base name of the file).
        distractors: L2-normalised features of strangers.
        distractor_names: (m,) names as the noise list has them (MegaFace: a1/a2/name).
        probe_noise, distractor_noise: names listed as noise; those that are absent are only counted.
        variant: "published" or "delete".
        seed: of the published variant's random draw.

    Raises:
        FormatError: when names or labels do not fit the matrices.
        ParamsError: for an unknown variant.
    """
    if variant not in VARIANTS:
        raise ParamsError(f"There is no noise variant {variant!r}; choose from {', '.join(VARIANTS)}.")
    _check_lengths(probes, labels, probe_names, distractors, distractor_names)
    noisy_probes = _listed(probe_names, probe_noise)
    noisy_distractors = _listed(distractor_names, distractor_noise)
    counts = (
        (len(probe_noise), len(set(probe_noise) & set(probe_names))),
        (len(distractor_noise), len(set(distractor_noise) & set(distractor_names))),
    )
    if variant == "delete":
        kept = np.flatnonzero(~noisy_probes), np.flatnonzero(~noisy_distractors)
        rows = _float32(probes[kept[0]]), _float32(distractors[kept[1]])
        return Cleaned(*rows, *kept, *counts)
    cleaned = _widen(probes), _widen(distractors)
    _replace(cleaned[0], np.asarray(labels), noisy_probes, seed)
    cleaned[1][noisy_distractors, -1] = _FAR
    return Cleaned(*cleaned, np.arange(len(probes)), np.arange(len(distractors)), *counts)


def _check_lengths(
    probes: NDArray[np.floating],
    labels: Sequence[Any] | NDArray[Any],
    probe_names: Sequence[str],
    distractors: NDArray[np.floating],
    distractor_names: Sequence[str],
) -> None:
    for what, rows, names in (
        ("probe labels", probes, labels),
        ("probe names", probes, probe_names),
        ("distractor names", distractors, distractor_names),
    ):
        if len(rows) != len(names):
            raise FormatError(
                f"There are {len(names)} {what} for {len(rows)} rows of features; give one a row."
            )


def _listed(names: Sequence[str], noise: Collection[str]) -> NDArray[np.bool_]:
    listed = frozenset(noise)
    return np.fromiter((name in listed for name in names), dtype=bool, count=len(names))


def _float32(rows: NDArray[np.floating]) -> Floats:
    return np.asarray(rows, dtype=np.float32)


def _widen(rows: NDArray[np.floating]) -> Floats:
    wide = np.zeros((rows.shape[0], rows.shape[1] + 1), dtype=np.float32)
    wide[:, :-1] = rows
    return wide


def _replace(probes: Floats, labels: NDArray[Any], noisy: NDArray[np.bool_], seed: int) -> None:
    """Give each noisy row its person's clean sum plus a little noise, normalised, in place."""
    clean = ~noisy & ~np.isnan(probes).any(axis=1)
    for label in np.unique(labels[noisy]):
        total = probes[clean & (labels == label), :-1].sum(axis=0, dtype=np.float64)
        generator = np.random.default_rng([seed, zlib.crc32(str(label).encode())])
        for row in np.flatnonzero(noisy & (labels == label)):
            replacement = total + generator.uniform(-_JITTER, _JITTER, size=len(total))
            probes[row, :-1] = replacement / np.linalg.norm(replacement)
