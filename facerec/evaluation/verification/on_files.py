"""Verification on files: embeddings and a list of pairs to results at rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from facerec.core import FormatError, atomic_dir, write_json
from facerec.evaluation import curves, verification
from facerec.evaluation.curves import Records
from facerec.store import embeddings, npy, pairs, scores
from facerec.store.embeddings import Embeddings

DECADES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""False accept rates at which TAR is given as far as the number of different pairs supports it."""

_CHANCE = 0.55
"""An accuracy whose interval reaches below this could be luck."""


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
    """What a run found, and how far its figures could be off."""

    result: verification.VerificationResult
    intervals: verification.VerificationIntervals

    def metrics(self) -> dict[str, Any]:
        """Flat scalars: those of the result with the bootstrap's intervals."""
        found = self.intervals
        names = {"accuracy": found.accuracy, "auc": found.auc, "eer": found.eer}
        names["tar"] = found.tar[self.result.rates[0].target]
        bounds = {
            f"{name}_{end}": value
            for name, pair in names.items()
            for end, value in zip(("low", "high"), pair, strict=True)
        }
        named = {"protocol": self.result.protocol, "interval_over": found.unit}
        return {**self.result.metrics(), **bounds, **named}

    @property
    def doubt(self) -> str | None:
        """What to look at where the network can hardly tell people apart, else None."""
        low, high = self.intervals.accuracy
        if low >= _CHANCE:
            return None
        return (
            f"an accuracy of {100 * low:.0f} to {100 * high:.0f} % is near chance (50 %). Unless the network has hardly been "
            "trained, one of these is wrong: the alignment (look at `facerec inspect FACES --sheet`), the order of colours, "
            "the preprocessing declared for the network, or which pairs belong to these faces; see docs/troubleshooting.md"
        )

    def details(self) -> dict[str, Any]:
        """What no single number says: every fold, and every false accept rate with whether it is supported."""
        result = self.result
        rates = [
            {
                "far": rate.target,
                "tar": rate.tar if rate.supported else None,
                "tar_std": rate.tar_std if rate.supported else None,
                "low": self.intervals.tar[rate.target][0] if rate.supported else None,
                "high": self.intervals.tar[rate.target][1] if rate.supported else None,
                "pairs_needed": None if rate.supported else round(1 / rate.target),
            }
            for rate in sorted(result.rates, key=lambda rate: -rate.target)
        ]
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
    """Judge the pairs of file `compared` (any form of `formats.pairs`) with the embeddings of file `embedded`.

    Directory `out` gets scores.parquet (a row a pair: both photos and who they show, "" where unknown, truth,
    distance, fold and its threshold), result.json (scalars) and details.json (folds and rates).
    """
    faces = embeddings.read_embeddings(embedded)
    listed = pairs.read_pairs(compared, faces.sources)
    result = verification.evaluate(faces.interleave(listed), listed.same, options.protocol, fars=options.fars)
    first, second = (_named(faces, rows) for rows in (listed.first, listed.second))
    judged = VerificationRecord(
        result, verification.bootstrap_intervals(result, first, second, options.trials, options.seed)
    )
    measured = scores.Measured(embedded.stem, options.protocol, faces.origin)
    photos = {"first": _photos(faces, listed.first), "second": _photos(faces, listed.second)}
    people = {"first_identity": pa.array(first), "second_identity": pa.array(second)}
    with atomic_dir(out) as folder:
        scores.write_scores(pa.table({**photos, **people, **_scores(result)}), measured, folder)
        write_json(folder / "result.json", judged.metrics())
        write_json(folder / "details.json", judged.details())
    return judged


def verify_arrays(embedded: Path, same: Path, options: VerifyOptions) -> VerificationRecord:
    """As `verify` for plain .npy files: embeddings (2n, d), pair i in rows 2i and 2i + 1, and truth (n,).

    Nothing says who the photos show, so the intervals take pairs as independent.
    """
    rows, truth = _array(embedded), _array(same)
    result = verification.evaluate(rows, truth, options.protocol, fars=options.fars)
    nobody = [""] * len(result.same)
    return VerificationRecord(
        result, verification.bootstrap_intervals(result, nobody, nobody, options.trials, options.seed)
    )


def _named(faces: Embeddings, rows: NDArray[np.int64]) -> list[str]:
    """Identity of each row, "" where the photo has no face or nobody's name is known."""
    return [faces.identities[row] if row >= 0 else "" for row in rows.tolist()]


def _photos(faces: Embeddings, rows: NDArray[np.int64]) -> pa.Array:
    """Source of each row; null where the set lacks the photo."""
    return pa.array([*faces.sources, None]).take(pa.array(np.where(rows < 0, len(faces), rows)))


def _scores(result: verification.VerificationResult) -> dict[str, NDArray[Any]]:
    folds = np.repeat(np.arange(len(result.fold_sizes), dtype=np.int32), result.fold_sizes)
    return {
        "same": result.same,
        "distance": result.distances,
        "fold": folds,
        "threshold": result.fold_thresholds[folds],
    }


def _array(path: Path) -> NDArray[Any]:
    try:
        return npy.read_npy(path)
    except FormatError as error:
        raise FormatError(f"cannot read {path} as a .npy array ({str(error).rstrip('.')}).") from error
