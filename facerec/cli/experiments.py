"""Commands about experiments: profiles and parameters, the comparison of runs, and whether one was reproduced."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from facerec import params as parameters
from facerec.cli.common import Json, Panel, command, print_json, report
from facerec.core import FormatError, ParamsError, note, parse_yaml, say, shipped, terminal, visible
from facerec.params import profiles

PARAMS = Path("params.yaml")


@command(Panel.EXPERIMENTS)
def profile(
    name: Annotated[str, typer.Argument(help="The profile; without one, all are listed.")] = "",
    listed: Annotated[bool, typer.Option("--needs", help="Only say what it needs; write nothing.")] = False,
    printed: Annotated[
        bool, typer.Option("--print", help="Only print it as arguments of dvc exp run; write nothing.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--profiles", help="Folder of the profiles; profiles/ here, else those that come with facerec."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write params.yaml for a profile, such as lfw; `default` goes back. Without a name, list the profiles."""
    folder = folder or (Path("profiles") if Path("profiles").is_dir() else shipped() / "profiles")
    if listed or not name:
        _list_profiles(folder, [name] if name else profiles.profile_names(folder), as_json)
    elif printed:
        _print_overrides(folder, name, as_json)
    else:
        lacking = _missing(_needs(folder, name))
        profiles.apply_profile(folder, name, PARAMS)
        told = {"missing": f"{', '.join(lacking)}: see facerec profile --needs {name}"} if lacking else {}
        report(f"Profile {name}", {"written": str(PARAMS), **told, "next": "dvc repro"}, as_json)


@command(Panel.EXPERIMENTS)
def new(
    folder: Annotated[Path, typer.Argument(help="Folder to make; must be new or empty.")],
    profile: Annotated[str, typer.Option(help="Profile that params.yaml starts with.")] = profiles.DEFAULT,
    as_json: Json = False,
) -> None:
    """Start an experiment of your own: a git and DVC repository with graph, stages, catalog, profiles and README."""
    from facerec.repository import starting

    committed = starting.start_experiment(folder, profile)
    if not committed:
        note("nothing is committed: tell git who you are (git config --global user.name, user.email), then git commit")
    report(f"{folder}", {"profile": profile, "next": f"cd {folder} && dvc repro"}, as_json)


@command(Panel.EXPERIMENTS)
def lock(
    checked: Annotated[bool, typer.Option("--check", help="Only say whether they fit; write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """In an experiment of `new`: take the installed code over into code/, after an upgrade or a change of a stage."""
    from facerec.repository import code, starting

    changed = code.changed_stages() if checked else starting.lock_experiment()
    told: Any = changed if as_json else ", ".join(changed) or "none"
    report(
        "Code of the stages", {"changed": told, **({"next": "dvc repro"} if changed and not checked else {})}, as_json
    )
    if checked and changed:
        raise typer.Exit(1)


@command(Panel.EXPERIMENTS)
def check(path: Annotated[Path, typer.Argument(help="Parameter file.")] = PARAMS, as_json: Json = False) -> None:
    """Validate params.yaml; a mistake is named, with what is allowed."""
    from facerec.catalog import networks

    parsed = parameters.load_params(path)
    networks.check_measured(parsed.model)
    benchmarks: Any = list(parsed.benchmarks) if as_json else ", ".join(parsed.benchmarks)
    report(f"{path} is valid", {"model": parsed.model, "benchmarks": benchmarks}, as_json)


def _print_overrides(folder: Path, name: str, as_json: bool) -> None:
    """The -S arguments that turn this params.yaml into that of the profile, on one line, quoted for a shell."""
    parameters.load_params(PARAMS)
    texts = PARAMS.read_text(encoding="utf-8"), profiles.compose_params(folder, name)
    now, wanted = (parse_yaml(text, "params.yaml", ParamsError) for text in texts)
    arguments = [word for change in profiles.list_overrides(now, wanted) for word in ("-S", change)]
    sys.stdout.write(f"{json.dumps({'arguments': arguments}) if as_json else shlex.join(arguments)}\n")


def _needs(folder: Path, name: str) -> list[dict[str, Any]]:
    """The catalog entries of a profile, and where each is."""
    from facerec.catalog import downloads
    from facerec.catalog.entries import load_entry

    entries = profiles.load_profile(folder, name).entries
    return [{"name": each, **downloads.describe_availability(load_entry(each))} for each in entries]


def _missing(needs: list[dict[str, Any]]) -> list[str]:
    return [need["name"] for need in needs if need["how"] != "rendered" and need["here"] in ("", "partly")]


def _list_profiles(folder: Path, names: list[str], as_json: bool) -> None:
    from facerec.catalog import downloads
    from facerec.catalog.entries import load_entry

    found = {name: _needs(folder, name) for name in names}
    lacking = dict.fromkeys(each for needs in found.values() for each in _missing(needs))
    advice = {name: downloads.describe_missing(load_entry(name)) for name in lacking}
    about = {name: profiles.describe_profile(folder, name) for name in names}
    if as_json:
        rows = [{"name": name, "about": about[name], "needs": needs} for name, needs in found.items()]
        print_json({"profiles": rows, "missing": advice})
        return
    console = terminal()
    for name, needs in found.items():
        console.print(name, style="bold", highlight=False)
        _indented(console, about[name] if len(names) == 1 else f"{about[name].partition('. ')[0]}.")
        for need in needs:
            _indented(console, f"{need['name']:24}{_megabytes(need['bytes'])}  {_describe_place(need)}")
    if advice:
        console.print("Where to get what is missing", style="bold")
    for name, how in advice.items():
        _indented(console, f"{name}: {_describe_source(how)}")


def _indented(console: Console, text: str) -> None:
    console.print(Padding(Text(visible(text), overflow="fold"), (0, 0, 0, 4), expand=False))


def _megabytes(size: int | None) -> str:
    return " " * 10 if size is None else f"{size / 1e6:>7,.1f} MB"


def _describe_place(need: dict[str, Any]) -> str:
    if need["how"] == "rendered":
        return "rendered here"
    return str(need["here"]) if need["here"] not in ("", "partly") else f"missing, {need['how']}"


def _describe_source(how: dict[str, Any]) -> str:
    """Where to get what is missing, for people."""
    files = ", ".join(how["files"])
    if how["by"] == "download":
        return f"{files}: the stage download fetches it from {' or '.join(how['from'])}. {how['by hand']}".strip()
    return f"{files}: put it into {how['put files into']}. {how['by hand']} See {how['homepage']}"


@command(Panel.EXPERIMENTS, "compare-runs")
def compare_runs(
    first: Annotated[str, typer.Argument(metavar="REV1", help="Branch, tag, commit or experiment.")],
    second: Annotated[
        str, typer.Argument(metavar="REV2", help="Another, or workspace: the files on the disk.")
    ] = "workspace",
    benchmark: Annotated[list[str] | None, typer.Option(help="Only this one; repeatable.")] = None,
    bootstrap: Annotated[int, typer.Option(help="Trials of the bootstrap over identities.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 1,
    level: Annotated[
        float, typer.Option(help="Confidence level of the intervals; verdicts use the significance level 1 - LEVEL.")
    ] = 0.95,
    markdown: Annotated[bool, typer.Option("--markdown", help="Tables in Markdown on standard output.")] = False,
    as_json: Json = False,
) -> None:
    """Is REV2 better than REV1? Differences with intervals and p-values, from scores in the DVC cache."""
    from facerec.cli import revisions
    from facerec.evaluation import comparison
    from facerec.evaluation.statistics.significance import Trials
    from facerec.reporting import comparison as reporting

    if markdown and as_json:
        raise ParamsError("--markdown and --json both go to standard output; give one of them.")
    trials = Trials(bootstrap, seed, level)
    with tempfile.TemporaryDirectory(prefix="facerec-") as folder:
        here, there = (
            revisions.fetch_scores(name, Path(folder) / str(place)) for place, name in enumerate((first, second))
        )
        found = comparison.compare_runs(here, there, trials, benchmark or ())
    if not found.benchmarks:
        reasons = "; ".join(reporting.omission_reasons(found.omitted))
        raise FormatError(f"{first} and {second} share no benchmark that compares ({reasons}).")
    kinds = here.arithmetic, there.arithmetic
    made = reporting.ComparisonReport(first, second, trials, found.benchmarks, found.omitted, kinds)
    if as_json:
        report("Comparison", reporting.comparison_as_json(made), as_json)
    elif markdown:
        sys.stdout.write(visible(reporting.markdown_tables(made)))
    else:
        terminal().print(reporting.terminal_tables(made), highlight=False)


@command(Panel.EXPERIMENTS, "experiments")
def list_experiments(
    commits: Annotated[int, typer.Option("--num", "-n", help="How many of the last commits to list those of.")] = 1,
    as_json: Json = False,
) -> None:
    """All experiments of `dvc exp show`: the parameters they changed, accuracy and rank-1."""
    from facerec.cli import revisions
    from facerec.reporting import comparison, experiments

    rows = experiments.parse_experiments(revisions.list_experiments(commits))
    if as_json:
        report("Experiments", {"experiments": [experiments.experiment_as_dict(row) for row in rows]}, as_json)
    else:
        console = terminal()
        console.print(experiments.experiments_table(rows, console.width), highlight=False)
        if told := comparison.machine_note([(row.name, row.arithmetic) for row in rows]):
            console.print("", told, sep="\n", highlight=False)


@command(Panel.EXPERIMENTS)
def reproduced(
    revision: Annotated[str, typer.Argument(metavar="REV", help="Branch, tag, commit or experiment.")] = "HEAD",
    as_json: Json = False,
) -> None:
    """Do the outputs of the workspace have the bytes of the run at REV? If not: what differs first, and why."""
    from facerec.cli import revisions
    from facerec.reporting import reproduction

    there, here = revisions.read_run(revision), revisions.read_run(revisions.WORKSPACE)
    found = reproduction.compare_locks(there, here)
    reasons = reproduction.likely_reasons(there, here) if found.first else []
    if as_json:
        print_json(reproduction.verdict_as_dict(found, reasons))
    else:
        for line in reproduction.verdict_lines(found, reasons):
            say(line)
    if not found.reproduced:
        raise typer.Exit(1)


@command(Panel.EXPERIMENTS, "verify-cache")
def verify_cache(as_json: Json = False) -> None:
    """Do all outputs have the bytes that dvc.lock records, here and in DVC's cache? Reads everything, writes nothing."""
    from facerec.cli import revisions
    from facerec.reporting import cache_check

    found = cache_check.check_outputs(*revisions.read_outputs())
    if as_json:
        print_json(cache_check.check_as_dict(found))
    else:
        sys.stderr.write("".join(f"{line}\n" for line in cache_check.check_lines(found)))
    if not found.sound:
        raise typer.Exit(1)


@command(Panel.EXPERIMENTS, "run-part")
def run_part(
    stage: Annotated[str, typer.Argument(help="unpack, detect, align, embed or megaface_features.")],
    key: Annotated[str, typer.Argument(help="Its pack, set or benchmark, as after the @ of `dvc repro STAGE@KEY`.")],
    part: Annotated[str, typer.Option(metavar="I/N", help="Which of how many parts, such as 3/16.")],
) -> None:
    """Do part I of N of a stage's work, as for an array of cluster jobs; `dvc repro` then finds all parts done.

    All parts need one FACEREC_SCRATCH that every machine sees. What the stage depends on must be there.
    """
    from facerec.cli import revisions

    words = [*revisions.stage_arguments(f"{stage}@{key}"), "--part", part]
    if code := subprocess.call([sys.executable, *words]):
        raise typer.Exit(code)
