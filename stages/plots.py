"""plots: metrics, curves and scores -> figures, and reports/summary.json, by which runs are compared."""

from __future__ import annotations

from facerec.core import write_json
from facerec.params import Params
from facerec.reporting import run_figures, summary
from facerec.reporting.summary import Sources, collect_metrics
from stages import common


def plots(params: Params) -> None:
    """Draw the figures of the run that params.yaml describes."""
    sources = Sources(params, common.METRICS, common.CURVES, common.SCORES)
    found = collect_metrics(sources)
    run_figures.write_figures(run_figures.plan_figures(sources, found), common.FIGURES)
    write_json(common.REPORTS / "summary.json", summary.headline(found))


if __name__ == "__main__":
    common.run(plots)
