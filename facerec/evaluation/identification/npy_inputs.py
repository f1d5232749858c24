"""Identification of plain files, as any system can write them: .npy matrices and lists of names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.core import FormatError
from facerec.evaluation import identification
from facerec.evaluation.identification import noise
from facerec.evaluation.identification.noise import facescrub_key, megaface_key
from facerec.evaluation.identification.scores import NpyRows, Rows
from facerec.interop import photo_lists


@dataclass(frozen=True)
class NpyInputs:
    """One matrix and one list a side; the distractors' list matters only for noise.

    Attributes:
        probes, distractors: .npy matrices of L2-normalised features, a row a face.
        ids: identity of each probe, one a line, or the devkit's JSON list.
    """

    probes: Path
    ids: Path
    distractors: Path


@dataclass(frozen=True)
class NoiseLists:
    """What is listed as noise, and the photos that the rows belong to.

    Attributes:
        variant: see `facerec.evaluation.identification.noise`.
        probe_list, distractor_list: photo of each row, one a line, or the devkit's JSON list.
        probe_noises, distractor_noises: the noise lists.
    """

    variant: str
    probe_list: Path
    probe_noises: Path
    distractor_list: Path
    distractor_noises: Path


def identify_npy(
    files: NpyInputs, cleaned_of: NoiseLists | None, fprs: Sequence[float], sweeps: int = 0, seed: int = 0
) -> tuple[identification.IdentificationResult, dict[str, int]]:
    """Rank the probes; distractors are read and cleaned a block at a time. The result, and counts of the noise."""
    rows, others = NpyRows(files.probes), NpyRows(files.distractors)
    probes, ids = rows[: len(rows)], np.array(read_name_column(files.ids, "id"))
    counts: dict[str, int] = {}
    cleaned: tuple[NDArray[np.floating], NDArray[np.str_], Rows] = (probes, ids, others)
    if cleaned_of is not None:
        cleaned, counts = _clean(cleaned_of, probes, ids, others, seed)
    return identification.identify(*cleaned, fprs, sweeps=sweeps, seed=seed), counts


def read_name_column(path: Path, column: str = "path") -> list[str]:
    """Names from a text file, one a line, or a `column`, "path" or "id", of the devkit's JSON list."""
    if path.suffix == ".json":
        listed = photo_lists.read_feature_list(path)
        return list(listed.ids if column == "id" else listed.paths)
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"cannot read the list {path}: {error}; give one name a line.") from error


def _clean(
    listed: NoiseLists, probes: NDArray[np.floating], ids: NDArray[np.str_], distractors: Rows, seed: int
) -> tuple[tuple[NDArray[np.floating], NDArray[np.str_], Rows], dict[str, int]]:
    photos = [facescrub_key(name) for name in read_name_column(listed.probe_list)]
    wrong = [facescrub_key(name) for name in photo_lists.read_noises(listed.probe_noises)]
    clean, kept = noise.clean_probes(probes, ids, noise.listed(photos, wrong), listed.variant, seed)
    strangers = [megaface_key(name) for name in read_name_column(listed.distractor_list)]
    known = [megaface_key(name) for name in photo_lists.read_noises(listed.distractor_noises)]
    if len(strangers) != distractors.shape[0]:
        raise FormatError(
            f"{listed.distractor_list} names {len(strangers)} photos for {distractors.shape[0]} distractors."
        )
    others = noise.CleanDistractors(distractors, noise.listed(strangers, known), listed.variant)
    counts = noise.metrics(noise.count_noises(photos, wrong), noise.count_noises(strangers, known))
    return (clean, ids[kept], others), counts
