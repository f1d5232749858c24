"""plots: metrics, curves and scores -> figures, reports/index.html and reports/summary.json."""

from __future__ import annotations

from pathlib import Path

from facerec.params import Params
from facerec.reporting import report
from stages import common


def plots(params: Params) -> None:
    """Draw the report of the run that params.yaml describes."""
    sources = report.Sources(
        common.METRICS,
        common.CURVES,
        common.SHEETS,
        common.SCORES,
        list(params.benchmarks),
        list(params.identification),
        params.networks,
        list(params.photos),
    )
    synthetic = any(name.startswith("synth_") for name in params.benchmarks)
    text = Path("params.yaml").read_text(encoding="utf-8")
    report.write(sources, text, report.SYNTHETIC if synthetic else "", Path("reports"))


if __name__ == "__main__":
    common.run(plots)
