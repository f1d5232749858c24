"""plots: metrics, curves and scores -> figures, and reports/summary.json, by which runs are compared."""

from __future__ import annotations

from facerec.params import Params
from facerec.reporting import run_figures, summary
from stages import common


def plots(params: Params) -> None:
    """Draw the figures of the run that params.yaml describes."""
    sources = summary.Sources(params, common.METRICS, common.CURVES, common.SCORES)
    found = summary.collect_metrics(sources)
    run_figures.write_figures(run_figures.plan_figures(sources, found), common.FIGURES)
    summary.write_summary(found, common.REPORTS / "summary.json")


if __name__ == "__main__":
    common.run(plots)
