"""verify@benchmark: embeddings and pairs -> accuracy, TAR@FAR, ROC, and every pair's score."""

from __future__ import annotations

from pathlib import Path

from facerec import console, evaluation
from facerec.files import write_json
from facerec.params import Params
from facerec.reporting import curves
from stages import common

COLUMNS = ("accuracy", "accuracy_std", "tar", "auc", "failures")


def verify(params: Params, name: str) -> None:
    """Judge benchmark `name` by the protocol of params.verify."""
    rules = params.verify
    judged = evaluation.verify(
        common.EMBEDDINGS / f"{name}.npy",
        Path(params.benchmarks[name].pairs),
        evaluation.Options(rules.protocol, rules.far, rules.bootstrap, rules.seed),
        common.SCORES / name,
    )
    if judged.doubt:
        console.note(judged.doubt)
    metrics = judged.metrics()
    write_json(common.METRICS / f"verify/{name}.json", {name: {key: metrics[key] for key in COLUMNS}})
    write_json(common.CURVES / f"{name}_roc.json", curves.plot_data(roc=judged.roc()))


if __name__ == "__main__":
    common.run(verify)
