"""Commands that set runs side by side: all experiments, and two of them with the question whether they differ."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from facerec.cli.common import Json, app, report
from facerec.core import FormatError, ParamsError


@app.command("compare-runs")
def compare_runs(
    first: Annotated[str, typer.Argument(metavar="REV1", help="Branch, tag, commit or experiment.")],
    second: Annotated[
        str, typer.Argument(metavar="REV2", help="Another, or workspace: what lies on the disk.")
    ] = "workspace",
    benchmark: Annotated[list[str] | None, typer.Option(help="Only this one; repeatable.")] = None,
    trials: Annotated[int, typer.Option(help="How often people are drawn.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 1,
    level: Annotated[float, typer.Option(help="Of the intervals; verdicts at 1 less it.")] = 0.95,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Tables in Markdown on standard output.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Is REV2 better than REV1? Differences with intervals and p-values, from scores in the DVC cache."""
    from rich.console import Console

    from facerec.cli import revisions
    from facerec.evaluation import comparison
    from facerec.evaluation.statistics.significance import Trials
    from facerec.reporting import comparison as reporting

    if markdown and as_json:
        raise ParamsError("--markdown and --json both go to standard output; give one of them.")
    drawn = Trials(trials, seed, level)
    with tempfile.TemporaryDirectory(prefix="facerec-") as folder:
        here, there = (
            revisions.fetch(name, Path(folder) / str(place)) for place, name in enumerate((first, second))
        )
        found = comparison.compare_runs(here, there, drawn, benchmark or ())
    if not found.benchmarks:
        reasons = "; ".join(reporting.omission_reasons(found.omitted))
        raise FormatError(f"{first} and {second} share no benchmark that compares ({reasons}).")
    made = reporting.ComparisonReport(first, second, drawn, found.benchmarks, found.omitted)
    if as_json:
        report("Comparison", reporting.comparison_as_json(made), as_json)
    elif markdown:
        sys.stdout.write(reporting.markdown_tables(made))
    else:
        Console(stderr=True).print(reporting.terminal_tables(made))


@app.command()
def experiments(
    commits: Annotated[int, typer.Option("--num", "-n", help="Those of the last so many commits.")] = 1,
    as_json: Json = False,
) -> None:
    """All experiments of `dvc exp show`, by what was changed and what became of accuracy and rank-1."""
    from rich.console import Console

    from facerec.cli import revisions
    from facerec.reporting import comparison as reporting

    rows = reporting.parse_experiments(revisions.experiments(commits))
    if as_json:
        report("Experiments", {"experiments": [reporting.experiment_as_dict(row) for row in rows]}, as_json)
    else:
        console = Console(stderr=True)
        console.print(reporting.experiments_table(rows, console.width))
