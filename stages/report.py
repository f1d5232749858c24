"""report: metrics, figures and contact sheets -> reports/index.html, and the cards of networks and data sets.

How and when it was made goes to reports/provenance/, which is no output of DVC: it differs in every run.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from facerec.reporting import provenance
from facerec.reporting.report import RunReport
from facerec.reporting.summary import Sources
from stages import common


def report(params: common.Params) -> None:
    """Write the report of the run that params.yaml describes."""
    sources = Sources(params, common.METRICS, common.CURVES, common.SCORES)
    run = RunReport.of_run(sources, common.FIGURES, common.SHEETS)
    run.write(common.REPORTS, provenance.gather_provenance(Path(), _stages(params)))


def _stages(params: common.Params) -> dict[str, list[tuple[str, ...]]]:
    """Stage -> the name and key of each of its instances, in the order of dvc.yaml, without the stage report.

    A stage that dvc.yaml repeats with `foreach: ${name}` has a key for each; any other has none.
    """
    graph = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    del graph["report"]
    repeated = {stage: body["foreach"].strip("${}") for stage, body in graph.items() if "foreach" in body}
    return {
        stage: [(stage, key) for key in getattr(params, repeated[stage])] if stage in repeated else [(stage,)]
        for stage in graph
    }


if __name__ == "__main__":
    common.run(report)
