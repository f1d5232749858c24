"""slices@benchmark: scores and attributes -> accuracy, TAR and FMR by groups of people."""

from __future__ import annotations

from pathlib import Path

from facerec.evaluation.verification import on_files
from stages import common


def slices(params: common.Params, name: str) -> None:
    """Split benchmark `name` by its attributes."""
    rules = params.verify
    options = on_files.VerifyOptions(rules.protocol, rules.far, rules.bootstrap, rules.seed)
    found = on_files.slice_scores(common.SCORES / name, Path(params.attributes[name]), options)
    common.write_metrics("slices", name, found)


if __name__ == "__main__":
    common.run(slices)
