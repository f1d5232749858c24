"""verify@benchmark: embeddings and pairs -> accuracy, TAR@FAR, ROC, every pair's score, and a sheet of pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facerec import evaluation
from facerec.core import console, write_json
from facerec.evaluation import curves
from facerec.interop import pair_lists
from facerec.params import Params
from facerec.reporting import pair_sheets
from facerec.store import embeddings
from stages import common

COLUMNS = ("accuracy", "accuracy_std", "tar", "auc", "failures")


def verify(params: Params, name: str) -> None:
    """Judge benchmark `name` by the protocol of params.verify."""
    rules, benchmark = params.verify, params.benchmarks[name]
    embedded, compared = common.EMBEDDINGS / f"{name}.npy", Path(benchmark.pairs)
    options = evaluation.VerifyOptions(rules.protocol, rules.far, rules.bootstrap, rules.seed)
    judged = evaluation.verify_files(embedded, compared, options, common.SCORES / name)
    if judged.doubt:
        console.note(judged.doubt)
    metrics = judged.metrics()
    write_json(common.METRICS / f"verify/{name}.json", {name: {key: metrics[key] for key in COLUMNS}})
    write_json(common.CURVES / f"{name}_roc.json", curves.plot_data(roc=judged.roc()))
    result, listed = (
        judged.result,
        pair_lists.read_pairs(compared, embeddings.read_embeddings(embedded).sources),
    )
    thresholds = np.repeat(result.fold_thresholds, result.fold_sizes)
    faces, sheet = common.FACES / "test" / benchmark.faces, common.SHEETS / f"pairs/{name}.jpg"
    pair_sheets.write_pair_sheet(faces, listed, result.distances, thresholds, sheet)


if __name__ == "__main__":
    common.run(verify)
