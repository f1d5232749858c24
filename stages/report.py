"""report: metrics, figures and contact sheets -> reports/index.html, and the cards of networks and data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from facerec.catalog.entries import load_entry
from facerec.core import timing
from facerec.params import Params
from facerec.reporting import provenance
from facerec.reporting.report import RunReport
from facerec.reporting.summary import Sources
from stages import common


def report(params: Params) -> None:
    """Write the report of the run that params.yaml describes."""
    sources = Sources(params, common.METRICS, common.CURVES, common.SCORES)
    entries = {name: load_entry(name) for name in params.entries}
    run = RunReport(sources, common.FIGURES, common.SHEETS, entries)
    times = {stage: [timing.last(*name) for name in names] for stage, names in _stages(params).items()}
    run.write(common.REPORTS, provenance.gather_provenance(Path(), times))


def _stages(params: Params) -> dict[str, list[tuple[str, ...]]]:
    """Stage -> the name and key of each of its instances, in the order of dvc.yaml, without the stage report."""
    graph = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    del graph["report"]
    return {stage: [(stage, *key) for key in _keys(body, params)] for stage, body in graph.items()}


def _keys(body: dict[str, Any], params: Params) -> list[tuple[str, ...]]:
    """The keys of a stage that dvc.yaml repeats with `foreach: ${name}`; one empty key for any other stage."""
    if "foreach" not in body:
        return [()]
    return [(key,) for key in getattr(params, body["foreach"].strip("${}"))]


if __name__ == "__main__":
    common.run(report)
