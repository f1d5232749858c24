"""Evaluation on files: verification, noise removal and identification from embeddings to results at rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from facerec import identification, verification
from facerec.files import atomic_dir, write_json
from facerec.formats import embeddings, lists, pairs
from facerec.formats.embeddings import Embeddings
from facerec.identification import noise
from facerec.reporting import curves
from facerec.reporting.curves import Records


def verify(embedded: Path, compared: Path, protocol: str, far: float, out: Path) -> verification.Result:
    """Judge the pairs of file `compared` (pairs.txt or .parquet) with the embeddings of file `embedded`.

    Directory `out` gets scores.parquet (a row a pair: both photos, truth, distance) and result.json.
    """
    faces = embeddings.read(embedded)
    listed = pairs.read(compared, faces.sources)
    result = verification.evaluate(faces.interleave(listed), listed.same, protocol, fars=(far,))
    sources = pa.array([*faces.sources, None])  # -1, a photo without a face, is the null at the end
    columns = {
        "first": sources.take(pa.array(np.where(listed.first < 0, len(faces), listed.first))),
        "second": sources.take(pa.array(np.where(listed.second < 0, len(faces), listed.second))),
        "same": listed.same,
        "distance": result.distances,
    }
    with atomic_dir(out) as folder:
        pq.write_table(pa.table(columns), folder / "scores.parquet", compression="none")
        write_json(folder / "result.json", _plain(result.metrics()))
    return result


def denoise(
    features: Path, probe_noises: Path, distractor_noises: Path, variant: str, seed: int, out: Path
) -> noise.Cleaned:
    """Clean the L2-normalised features of directory `features` into directory `out` by two noise lists."""
    probes, distractors = embeddings.read_features(features)
    cleaned = noise.remove_noise(
        probes.matrix,
        probes.identities,
        [Path(source).name for source in probes.sources],
        distractors.matrix,
        distractors.sources,
        lists.read_noises(probe_noises),
        lists.read_noises(distractor_noises),
        variant,
        seed,
    )
    embeddings.write_features(
        _rows(probes, cleaned.kept_probes, cleaned.probes),
        _rows(distractors, cleaned.kept_distractors, cleaned.distractors),
        out,
    )
    return cleaned


def identify(features: Path, fprs: Sequence[float]) -> identification.Result:
    """Rank the probes of directory `features` among its distractors."""
    probes, distractors = embeddings.read_features(features)
    return identification.identify(probes.matrix, probes.identities, distractors.matrix, fprs)


def identification_curves(result: identification.Result) -> tuple[Records, Records]:
    """CMC and ROC of a run as plot records."""
    positives = result.pairs // 2
    return curves.cmc_records(*result.cmc, result.pairs), curves.roc_records(*result.roc, positives)


def write_identification(results: dict[str, identification.Result], out: Path) -> None:
    """Write result.json and, for each named run, the JSON files of the devkit into directory `out`."""
    with atomic_dir(out) as folder:
        for name, result in results.items():
            write_json(folder / f"{name}_cmc.json", {key: result.devkit[key] for key in ("cmc", "roc")})
            write_json(folder / f"{name}_matches.json", result.devkit["matches"])
            cmc, roc = identification_curves(result)
            write_json(folder / f"{name}_curves.json", {"cmc": cmc, "roc": roc})
        metrics = {name: _plain(result.metrics()) for name, result in results.items()}
        write_json(folder / "result.json", metrics)


def _rows(original: Embeddings, kept: Any, matrix: Any) -> Embeddings:
    sources = [original.sources[row] for row in kept]
    return Embeddings(matrix, sources, [original.identities[row] for row in kept])


def _plain(metrics: dict[str, Any]) -> dict[str, Any]:
    """Numbers and booleans as JSON knows them."""
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in metrics.items()}
