"""verify@benchmark: embeddings and pairs -> the result record, every pair's score, the ROC, and a sheet of pairs."""

from __future__ import annotations

from pathlib import Path

from facerec.evaluation.verification import on_files
from facerec.reporting import pair_sheets
from stages import common


def verify(params: common.Params, name: str) -> None:
    """Judge benchmark `name` by the protocol of params.verify."""
    rules, benchmark = params.verify, params.benchmarks[name]
    options = on_files.VerifyOptions(rules.protocol, rules.far, rules.bootstrap, rules.seed)
    embedded, compared = common.EMBEDDINGS / f"{name}.npy", Path(benchmark.pairs)
    judged = on_files.verify_files(embedded, compared, options, common.SCORES / name)
    if judged.doubt:
        common.note(judged.doubt)
    common.write_curve(name, "roc", judged.roc())
    faces, sheet = common.FACES / "test" / benchmark.faces, common.SHEETS / f"pairs/{name}.jpg"
    found = judged.result
    pair_sheets.write_pair_sheet(faces, judged.pairs, found.distances, found.pair_thresholds, sheet)


if __name__ == "__main__":
    common.run(verify)
