"""plots: metrics, curves and scores -> figures, and reports/summary.json, the file people diff."""

from __future__ import annotations

from facerec.files import write_json
from facerec.params import Params
from facerec.reporting import plotting, results, summary
from stages import common


def plots(params: Params) -> None:
    """Draw the figures of the run that params.yaml describes."""
    sources = results.Sources(params, common.METRICS, common.CURVES, common.SCORES)
    found = results.collect(sources)
    plotting.write(plotting.plots(sources, found), common.FIGURES)
    write_json(common.REPORTS / "summary.json", summary.headline(found))


if __name__ == "__main__":
    common.run(plots)
