"""plots: metrics, curves and scores -> figures, and reports/summary.json, the file people diff."""

from __future__ import annotations

from facerec.core import write_json
from facerec.params import Params
from facerec.reporting import plotting, summary
from facerec.reporting.summary import Sources, collect_metrics
from stages import common


def plots(params: Params) -> None:
    """Draw the figures of the run that params.yaml describes."""
    sources = Sources(params, common.METRICS, common.CURVES, common.SCORES)
    found = collect_metrics(sources)
    plotting.write_figures(plotting.plan_figures(sources, found), common.FIGURES)
    write_json(common.REPORTS / "summary.json", summary.headline(found))


if __name__ == "__main__":
    common.run(plots)
