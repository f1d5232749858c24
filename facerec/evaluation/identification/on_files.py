"""MegaFace-style identification on files: from features and noise lists to the result record, and the devkit's files.

The record of a task is DIR/result.json, which the summary, the report and the comparison of runs read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.core import FormatError, atomic_dir, rate_name, write_json
from facerec.evaluation import curves, doubts
from facerec.evaluation.curves import Band, Records
from facerec.evaluation.identification import noise, outcomes, ranking
from facerec.evaluation.identification.devkit import parse_published
from facerec.evaluation.identification.outcomes import ProbeNames
from facerec.evaluation.identification.result import IdentificationBootstrap, IdentificationResult, SubsetResult
from facerec.interop import devkit, photo_lists
from facerec.store import embeddings, tables
from facerec.store.embeddings import Embeddings

MARKED_FROM = 64 << 20
"""Bytes of distractors from which on noise is marked instead of writing them a second time."""


@dataclass(frozen=True)
class IdentificationRecord:
    """A result with its bands, as it is written to result.json.

    Attributes:
        result: of `facerec.evaluation.identification.identify`.
        trials, seed: of the bootstrap over its identities; without trials there are no bands.
        probes: names of its probes, where known.
        arithmetic: kind of machine that computed the embeddings, where known.
    """

    result: IdentificationResult
    trials: int
    seed: int
    probes: ProbeNames | None = None
    arithmetic: str | None = None

    @cached_property
    def bootstrap(self) -> IdentificationBootstrap | None:
        """The trials; None where no bands were asked for."""
        return IdentificationBootstrap(self.result, self.trials, self.seed) if self.trials else None

    def metrics(self) -> dict[str, Any]:
        """Scalars, nested where a metric has several forms: exact, its 95 % interval, as the devkit shows it."""
        fprs = [fpr for fpr in self.result.tpr if self.result.supported[fpr]]
        names, coarse = [f"tpr@{rate_name(fpr)}" for fpr in fprs], parse_published(self.result.devkit)
        shown = {"rank1": coarse.rank1, **{name: coarse.tpr(fpr) for name, fpr in zip(names, fprs, strict=True)}}
        found: dict[str, Any] = {**self.result.metrics(), "devkit": shown}
        if self.bootstrap is not None:
            edges = np.hstack([self.bootstrap.cmc([1]), self.bootstrap.roc(fprs)]).T.tolist()
            bands = zip(("rank1", *names), edges, strict=True)
            found["interval"] = {name: {"lo": low, "hi": high} for name, (low, high) in bands}
        found |= {"doubt": self.doubt} if self.doubt else {}
        return found | ({"arithmetic": self.arithmetic} if self.arithmetic else {})

    @property
    def doubt(self) -> str | None:
        """Why the numbers may say nothing, else None (`facerec.evaluation.doubts`)."""
        return "; ".join(doubts.doubts_of_identification(self.result.metrics())) or None

    def answer(self) -> dict[str, Any]:
        """As `facerec megaface identify --json` prints it: rates nested by false positive rate."""
        found = {key: value for key, value in self.metrics().items() if not key.startswith("tpr@")}
        lacking = [rate_name(fpr) for fpr, enough in self.result.supported.items() if not enough]
        sweeps = {"sweeps": self.sweeps()} if self.result.sweeps else {}
        measured = {fpr: tpr if self.result.supported[fpr] else None for fpr, tpr in self.result.tpr.items()}
        return {**found, "tpr": _by_name(measured), "unsupported": lacking, **sweeps}

    @cached_property
    def curves(self) -> tuple[Records, Records]:
        """CMC and ROC as plot records, with bootstrapped bands where there are draws."""
        result = self.result
        cmc = curves.cmc_records(*result.cmc, result.pairs)
        roc = curves.roc_records(*result.roc, max(result.pairs // 2, 1))
        if self.bootstrap is not None:
            cmc = curves.banded(cmc, "rate", _known(self.bootstrap.cmc([record["rank"] for record in cmc])))
            roc = curves.banded(roc, "tpr", _known(self.bootstrap.roc([record["fpr"] for record in roc])))
        return cmc, roc

    def sweeps(self) -> list[dict[str, Any]]:
        """A record a subset of the distractors, and one of all of them, as set 0."""
        result = self.result
        rates = {fpr: tpr for fpr, tpr in result.tpr.items() if result.supported[fpr]}
        everyone = SubsetResult(result.distractors, 0, result.rank1, rates)
        return [{**asdict(each), "tpr": _by_name(each.tpr)} for each in (*result.sweeps, everyone)]


def denoise_files(
    features: Path, probe_noises: Path, distractor_noises: Path, variant: str, seed: int, out: Path
) -> noise.CleanedFeatures:
    """Clean the L2-normalised features of directory `features` into directory `out` by two noise lists.

    From MARKED_FROM bytes on, the distractors are not written again: `out` shares the file of `features` and says which
    rows are noise. The functions of this module read both forms, to the same numbers.
    """
    probes, distractors = _read_sets(features)
    lists = photo_lists.read_noises(probe_noises), photo_lists.read_noises(distractor_noises)
    faces, strangers = (probes.matrix, probes.identities, probes.sources), (distractors.matrix, distractors.sources)
    cleaned = noise.remove_noise(*faces, *strangers, *lists, variant, seed)
    kept = _rows(probes, cleaned.kept_probes, cleaned.probes)
    if isinstance(distractors.matrix, np.ndarray) and distractors.matrix.nbytes >= MARKED_FROM:
        marks = embeddings.NoiseMarks(variant, cleaned.noisy_distractors)
        embeddings.write_marked_sets(kept, features, marks, out)
    else:
        embeddings.write_feature_sets(kept, _rows(distractors, cleaned.kept_distractors, cleaned.distractors), out)
    return cleaned


def _read_sets(features: Path) -> tuple[Embeddings, Embeddings]:
    """The probes and distractors of a feature directory; distractors with marks are cleaned when they are read."""
    probes, distractors = embeddings.read_feature_sets(features)
    marks = embeddings.read_noise_marks(features)
    if marks is None:
        return probes, distractors
    noisy = np.zeros(len(distractors), bool)
    if len(marks.rows) and not 0 <= marks.rows.min() <= marks.rows.max() < len(noisy):
        raise FormatError(f"{features} marks rows as noise that its distractors do not have; denoise again.")
    noisy[marks.rows] = True
    clean = noise.CleanDistractors(distractors.matrix, noisy, marks.variant)
    return probes, _rows(distractors, clean.kept, clean)


def identify_files(
    features: Path, fprs: Sequence[float], sweeps: int = 0, bootstrap: int = 0, seed: int = 0
) -> IdentificationRecord:
    """Rank the probes of directory `features` among its distractors."""
    probes, distractors = _read_sets(features)
    found = ranking.identify(probes.matrix, probes.identities, distractors.matrix, fprs, sweeps=sweeps, seed=seed)
    names = ProbeNames(probes.sources, probes.identities)
    return IdentificationRecord(found, bootstrap, seed, names, probes.arithmetic)


def write_identification(runs: Mapping[str, IdentificationRecord], out: Path, noise: str = "none") -> None:
    """Write result.json and, for each named run, the JSON files of the devkit, curves and sweeps into `out`.

    Where the probes have names, the outcomes of all searches are written too (`outcomes`). `noise` is the variant of noise
    removal behind the run "cleaned".
    """
    with atomic_dir(out) as folder:
        for name, run in runs.items():
            coarse = dict(run.result.devkit)
            write_json(folder / f"{name}_matches.json", coarse.pop("matches"))
            write_json(folder / f"{name}_cmc.json", coarse)
            write_json(folder / f"{name}_curves.json", dict(zip(("cmc", "roc"), run.curves, strict=True)))
            write_json(folder / f"{name}_sweeps.json", run.sweeps())
            if run.probes is not None:
                outcomes.write_outcomes(run.result, run.probes, folder, name)
        cleaning = {name: noise if name == "cleaned" else "none" for name in runs}
        results = {name: {**run.metrics(), "noise": cleaning[name]} for name, run in runs.items()}
        write_json(folder / "result.json", results)


def import_features(folder: Path, probe_list: Path, distractor_list: Path, algorithm: str, out: Path) -> dict[str, int]:
    """Read the devkit's feature folders facescrub/ and megaface/ below `folder` into feature directory `out`.

    The lists are the devkit's JSON; rows come in their order. Counts of probes, distractors and dimensions.
    """
    probes, distractors = (
        _import(folder / name, photo_lists.read_feature_list(listed), algorithm)
        for name, listed in (("facescrub", probe_list), ("megaface", distractor_list))
    )
    embeddings.write_feature_sets(probes, distractors, out)
    return {"probes": len(probes), "distractors": len(distractors), "dim": probes.matrix.shape[1]}


def export_features(features: Path, algorithm: str, out: Path) -> dict[str, int]:
    """Write feature directory `features` as the devkit's folders facescrub/ and megaface/ and their two lists."""
    probes, distractors = _read_sets(features)
    with atomic_dir(out) as folder:
        for name, faces in (("facescrub", probes), ("megaface", distractors)):
            devkit.write_devkit_features(folder / name, faces.sources, faces.matrix, algorithm)
        people = photo_lists.FeatureList(tuple(probes.sources), tuple(probes.identities))
        photo_lists.write_feature_list(people, folder / "facescrub_features_list.json")
        strangers = photo_lists.FeatureList(tuple(distractors.sources))
        photo_lists.write_feature_list(strangers, folder / "megaface_features_list.json")
    return {"probes": len(probes), "distractors": len(distractors), "dim": probes.matrix.shape[1]}


def write_devkit_scores(features: Path, out: Path) -> dict[str, int]:
    """Write the devkit's score files of feature directory `features`: probes x probes, probes x distractors.

    -|x - y|^2 in float32, greater is more alike; 14 GB for all of MegaFace, and as much while it is written.
    Counts of rows and columns.
    """
    probes, distractors = _read_sets(features)
    with atomic_dir(out) as folder:
        for name, others in (("facescrub_facescrub", probes), ("facescrub_megaface", distractors)):
            columns = folder / f"{name}.npy"  # comes in columns, is kept in rows
            matrix = devkit.create_matrix((len(probes), len(others)), columns)
            for start, block in ranking.score_faces(probes.matrix, others.matrix, name):
                matrix[:, start : start + block.shape[1]] = block
            devkit.write_matrix(matrix, folder / f"{name}.bin")
            columns.unlink()
    return {"probes": len(probes), "distractors": len(distractors)}


def _import(folder: Path, listed: photo_lists.FeatureList, algorithm: str) -> Embeddings:
    matrix = devkit.read_devkit_features(folder, listed.paths, algorithm)
    return Embeddings(matrix, list(listed.paths), list(listed.ids) or [""] * len(listed.paths))


def _rows(original: Embeddings, kept: Any, matrix: Any) -> Embeddings:
    sources = [original.sources[row] for row in kept]
    return Embeddings(matrix, sources, [original.identities[row] for row in kept], original.origin)


def _by_name(rates: Mapping[float, float | None]) -> dict[str, float | None]:
    return {rate_name(rate): value for rate, value in rates.items()}


def _known(band: Band) -> Band:
    """The band with 0 instead of NaN, which JSON lacks, where no trial had anything to count."""
    low, high = band
    return np.nan_to_num(low), np.nan_to_num(high)


def map_rows(path: str | Path) -> np.memmap[Any, Any]:
    """Map the float matrix of a .npy file, which need not fit in memory; FormatError where it is none."""
    mapped = tables.read_npy(path)
    if not isinstance(mapped, np.memmap) or mapped.ndim != 2 or mapped.dtype.kind != "f":
        raise FormatError(f"{path} holds {mapped.dtype} {mapped.shape}; needed is a float matrix with a row a face.")
    if not mapped.flags.c_contiguous:
        raise FormatError(f"{path} is stored column after column; save it with numpy.ascontiguousarray.")
    return mapped


@dataclass(frozen=True)
class NoiseLists:
    """Noise lists, and the photos that the rows of the matrices belong to.

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
    probes: Path,
    ids: Path,
    distractors: Path,
    fprs: Sequence[float],
    lists: NoiseLists | None = None,
    sweeps: int = 0,
    bootstrap: int = 0,
    seed: int = 0,
) -> tuple[IdentificationRecord, dict[str, int]]:
    """As `identify_files` for .npy matrices of L2-normalised features, cleaned first where `lists` are given.

    `ids` has the identity of each probe, one a line, or is the devkit's JSON list. Distractors are read and cleaned a
    block at a time. Returns the counts of noise too.
    """
    faces: NDArray[Any] = np.array(map_rows(probes))
    people = np.array(read_name_column(ids, "id"))
    strangers: Any = map_rows(distractors)
    counts: dict[str, int] = {}
    if lists is not None:
        photos, others = (read_name_column(path) for path in (lists.probe_list, lists.distractor_list))
        noises = photo_lists.read_noises(lists.probe_noises), photo_lists.read_noises(lists.distractor_noises)
        clean = noise.remove_noise(faces, people, photos, strangers, others, *noises, lists.variant, seed)
        faces, people, strangers = clean.probes, people[clean.kept_probes], clean.distractors
        counts = clean.metrics()
    found = ranking.identify(faces, people, strangers, fprs, sweeps=sweeps, seed=seed)
    return IdentificationRecord(found, bootstrap, seed), counts


def read_name_column(path: Path, column: str = "path") -> list[str]:
    """Names from a text file, one a line, or a `column`, "path" or "id", of the devkit's JSON list."""
    if path.suffix == ".json":
        listed = photo_lists.read_feature_list(path)
        return list(listed.ids if column == "id" else listed.paths)
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"cannot read the list {path}: {error}; give one name a line.") from error
