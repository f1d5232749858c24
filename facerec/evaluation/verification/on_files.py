"""Verification on files: from embeddings and a list of pairs to the result record of a benchmark.

The record is DIR/result.json, which the summary, the report and the comparison of runs read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from facerec.core import FormatError, atomic_dir, spread_of, write_json
from facerec.evaluation import curves, doubts
from facerec.evaluation.curves import Records
from facerec.evaluation.verification.cross_validation import VerificationResult, evaluate
from facerec.evaluation.verification.intervals import (
    VerificationIntervals,
    bootstrap_intervals,
    contradicting_names,
    number_identities,
    people_in_several_folds,
)
from facerec.evaluation.verification.quality import RatedPairs, RejectCurves, embedding_norms, error_versus_reject
from facerec.evaluation.verification.slices import Least, ScoredPairs, slice_pairs
from facerec.interop import pair_lists
from facerec.interop.attributes import read_attributes, read_qualities
from facerec.store import embeddings, tables
from facerec.store.embeddings import Embeddings, Measured
from facerec.store.pairs import Pairs, consecutive_pairs

_PAIRS = pa.schema(
    [
        *((name, pa.string()) for name in ("first", "second", "first_identity", "second_identity")),
        ("same", pa.bool_()),
        ("distance", pa.float64()),
        ("fold", pa.int32()),
        ("threshold", pa.float64()),
    ]
)
DECADES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""False accept rates at which TAR is given as far as the number of impostor pairs supports it."""


@dataclass(frozen=True)
class VerifyOptions:
    """`protocol` by name, the headline false accept rate `far`, `trials` and `seed` of the bootstrap."""

    protocol: str = "insightface"
    far: float = 1e-3
    trials: int = 1000
    seed: int = 1

    @property
    def fars(self) -> tuple[float, ...]:
        """The headline rate, then the decades."""
        return (self.far, *(rate for rate in DECADES if rate != self.far))


@dataclass(frozen=True)
class VerificationRecord:
    """A result with its intervals, as it is written to result.json, and the pairs it is about.

    `arithmetic` is the kind of machine that computed the embeddings, `people` the number of people in the pairs and
    `shared` how many of them are in several folds, where known; `contradicting` the share of pairs against their names.
    """

    result: VerificationResult
    intervals: VerificationIntervals
    pairs: Pairs
    arithmetic: str | None = None
    people: int | None = None
    shared: int | None = None
    contradicting: float = 0.0

    def metrics(self) -> dict[str, Any]:
        """Flat scalars: those of the result with the bootstrap's intervals, and `doubt` where there is one."""
        return self._scalars() | ({"doubt": self.doubt} if self.doubt else {})

    def _scalars(self) -> dict[str, Any]:
        found = self.intervals
        names = {"accuracy": found.accuracy, "auc": found.auc, "eer": found.eer}
        if self.result.rates[0].supported:
            names["tar"] = found.tar[self.result.rates[0].target]
        bounds = {f"{name}_{end}": pair[k] for name, pair in names.items() for k, end in enumerate(("low", "high"))}
        known: dict[str, Any] = {"arithmetic": self.arithmetic} if self.arithmetic else {}
        known |= {} if self.people is None else {"people": self.people}
        known |= {"people_in_several_folds": self.shared} if self.shared else {}
        known |= {"contradicting_names": self.contradicting} if self.contradicting else {}
        how = {"protocol": self.result.protocol, "interval_over": found.unit, **known}
        return {**self.result.metrics(), **bounds, **how}

    @property
    def doubt(self) -> str | None:
        """Why the numbers may say nothing, else None (`facerec.evaluation.doubts`)."""
        return "; ".join(doubts.doubts_of_verification(self._scalars())) or None

    def details(self) -> dict[str, Any]:
        """Every fold, and every false accept rate with its TAR where the pairs support it."""
        result, rates = self.result, []
        for rate in sorted(result.rates, key=lambda rate: -rate.target):
            low, high = self.intervals.tar[rate.target]
            found = {"tar": rate.tar, "tar_std": rate.tar_std, "low": low, "high": high, "pairs_needed": None}
            if not rate.supported:
                found = {**dict.fromkeys(found), "pairs_needed": curves.pairs_needed(rate.target)}
            rates.append({"far": rate.target, **found})
        return {
            "fold_accuracy": result.fold_accuracy.tolist(),
            "fold_thresholds": result.fold_thresholds.tolist(),
            "fold_sizes": list(result.fold_sizes),
            "rates": rates,
        }

    def roc(self) -> Records:
        """The ROC as plot records, with the bootstrap's band."""
        records = curves.roc_records(self.result.fpr, self.result.tpr, int(self.result.same.sum()))
        return curves.banded(records, "tpr", self.intervals.roc([record["fpr"] for record in records]))


def verify_files(embedded: Path, compared: Path, options: VerifyOptions, out: Path) -> VerificationRecord:
    """Judge the pairs of file `compared` (any form of `store.pairs`) with the embeddings of file `embedded`.

    Directory `out` gets scores.parquet (see `store.embeddings`), result.json (scalars) and details.json (folds and rates).
    """
    faces = embeddings.read_embeddings(embedded)
    listed = pair_lists.read_pairs(compared, faces.sources)
    result = evaluate(listed.paired(faces.matrix), listed.same, options.protocol, fars=options.fars)
    first, second = (_identities(faces, rows) for rows in (listed.first, listed.second))
    intervals = bootstrap_intervals(result, first, second, options.trials, options.seed)
    people = len({*first, *second} - {""}) or None
    shared = people_in_several_folds(first, second, result.pair_folds) if people else None
    contradicting = contradicting_names(first, second, listed.same)
    judged = VerificationRecord(result, intervals, listed, faces.arithmetic, people, shared, contradicting)
    measured = Measured(embedded.stem, options.protocol, faces.origin)
    table = pa.table(
        {
            "first": _photos(faces, listed.first),
            "second": _photos(faces, listed.second),
            "first_identity": pa.array(first),
            "second_identity": pa.array(second),
            "same": result.same,
            "distance": result.distances,
            "fold": result.pair_folds.astype(np.int32),
            "threshold": result.pair_thresholds,
        }
    )
    with atomic_dir(out) as folder:
        embeddings.write_scores(table, measured, folder)
        write_json(folder / "result.json", judged.metrics())
        write_json(folder / "details.json", judged.details())
    return judged


def slice_scores(scores: Path, attributes: Path, options: VerifyOptions) -> dict[str, Any]:
    """The pairs of directory `scores`, which `verify_files` wrote, by the groups of file or folder `attributes`.

    Returns what `slices.slice_pairs` does, and for each column how many photos of the pairs have no group and how many
    labels contradict another.
    """
    table = tables.read_parquet(scores / embeddings.SCORES, _PAIRS).to_pydict()
    read = read_attributes(attributes)
    sides = [([photo or "" for photo in table[side]], table[f"{side}_identity"]) for side in ("first", "second")]
    left, right = ({name: read.groups(name, *side) for name in read.labels} for side in sides)
    columns = {name: (left[name], right[name]) for name in read.labels}
    if not any(group for chosen in columns.values() for groups in chosen for group in groups):
        raise FormatError(
            f"{attributes} names none of the photos or people in {scores}; look how both write the names."
        )
    by_fold = dict(zip(table["fold"], table["threshold"], strict=True))
    distances, same = np.array(table["distance"], np.float64), np.array(table["same"], bool)
    people = number_identities(sides[0][1], sides[1][1], same)
    pairs = ScoredPairs(distances, same, *people, float(np.mean(list(by_fold.values()))))
    least = Least(doubts.FEW_PEOPLE, doubts.FEW_PAIRS)
    found = slice_pairs(pairs, columns, least, options.far, options.trials, options.seed)
    for name, groups in columns.items():
        labels = {
            (photo, group)
            for side, chosen in zip(sides, groups, strict=True)
            for photo, group in zip(side[0], chosen, strict=True)
        }
        counts = {"photos": len(labels), "photos_unlabelled": sum(not group for _, group in labels)}
        found["columns"][name] |= {**counts, "contradictory": read.contradictions(name)}
    return found


@dataclass(frozen=True)
class RatedFaces:
    """Embeddings with the (n,) quality of each face, NaN where unknown, and the `name` of that quality."""

    faces: Embeddings
    quality: NDArray[np.float64]
    name: str

    def metrics(self) -> dict[str, Any]:
        """How many faces are rated, the spread of their qualities, and the five worst."""
        known = np.flatnonzero(~np.isnan(self.quality))
        worst = known[np.argsort(self.quality[known], kind="stable")[:5]].tolist()
        counts = {"faces": len(known), "faces_unrated": len(self.faces) - len(known)}
        spread = {f"quality_{end}": value for end, value in spread_of(self.quality[known]).items()}
        return {**counts, **spread, "worst": [self.faces.sources[row] for row in worst]}


def rate_faces(embedded: Path | Embeddings, table: Path | None, column: str) -> RatedFaces:
    """Rate faces by `column` of a table, or by the length of their embeddings where there is no table."""
    faces = embeddings.read_embeddings(embedded) if isinstance(embedded, Path) else embedded
    if table is not None:
        return RatedFaces(faces, read_qualities(table, column, faces.sources), column)
    return RatedFaces(faces, embedding_norms(faces.matrix), "norm")


def reject_worst(rated: RatedFaces, compared: Path, far: float) -> RejectCurves:
    """Error-versus-reject curves of the pairs in file `compared`."""
    listed = pair_lists.read_pairs(compared, rated.faces.sources)
    distances = evaluate(listed.interleave(rated.faces.matrix), listed.same).distances
    return error_versus_reject(RatedPairs(rated.quality, listed.first, listed.second, distances, listed.same), far)


def reject_worst_scored(rated: RatedFaces, scores: Path, far: float) -> RejectCurves:
    """As `reject_worst` for the pairs of directory `scores`, which `verify_files` wrote for these faces."""
    table = tables.read_parquet(scores / embeddings.SCORES, _PAIRS)
    rows = {source: row for row, source in enumerate(rated.faces.sources)}
    first, second = (np.array([rows.get(name, -1) for name in table[side].to_pylist()]) for side in ("first", "second"))
    distances, same = table["distance"].to_numpy(), np.asarray(table["same"].to_numpy(), bool)
    return error_versus_reject(RatedPairs(rated.quality, first, second, distances, same), far)


def verify_arrays(embedded: Path, same: Path, options: VerifyOptions) -> VerificationRecord:
    """As `verify_files` for plain .npy files: embeddings (2n, d), pair i in rows 2i and 2i + 1, and truth (n,).

    The files do not say who the photos show, so the intervals take pairs as independent.
    """
    result = evaluate(_array(embedded), _array(same), options.protocol, fars=options.fars)
    unknown = [""] * len(result.same)
    intervals = bootstrap_intervals(result, unknown, unknown, options.trials, options.seed)
    return VerificationRecord(result, intervals, consecutive_pairs(result.same))


def _identities(faces: Embeddings, rows: NDArray[np.int64]) -> list[str]:
    """Identity of each row, "" where the photo has no face or its name is unknown."""
    return [faces.identities[row] if row >= 0 else "" for row in rows.tolist()]


def _photos(faces: Embeddings, rows: NDArray[np.int64]) -> pa.Array:
    """Source of each row; null where the set lacks the photo."""
    return pa.array([*faces.sources, None]).take(pa.array(np.where(rows < 0, len(faces), rows)))


def _array(path: Path) -> NDArray[Any]:
    try:
        return tables.read_npy(path)
    except FormatError as error:
        raise FormatError(f"cannot read {path} as a .npy array ({str(error).rstrip('.')}).") from error
