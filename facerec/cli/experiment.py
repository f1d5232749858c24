"""Commands about the experiment as a whole: profiles and parameters."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from facerec import params as parameters
from facerec.cli.common import Json, app, report
from facerec.params import profiles

PARAMS = Path("params.yaml")


@app.command()
def profile(
    name: Annotated[str, typer.Argument(help="The profile; none lists them all.")] = "",
    listed: Annotated[bool, typer.Option("--list", help="Say what it needs; write nothing.")] = False,
    printed: Annotated[
        bool, typer.Option("--print", help="Print arguments of dvc exp run; write nothing.")
    ] = False,
    folder: Annotated[Path, typer.Option(help="Where the profiles are.")] = Path("profiles"),
    as_json: Json = False,
) -> None:
    """Write params.yaml for a profile, such as lfw; `default` goes back. Without a name, list the profiles."""
    if listed or not name:
        _list(folder, [name] if name else profiles.profile_names(folder), as_json)
    elif printed:
        _print(folder, name, as_json)
    else:
        lacking = _missing(_needs(folder, name))
        profiles.apply_profile(folder, name, PARAMS)
        told = {"missing": f"{', '.join(lacking)}: see facerec profile --list {name}"} if lacking else {}
        report(f"Profile {name}", {"written": str(PARAMS), **told, "next": "dvc repro"}, as_json)


@app.command()
def check(path: Annotated[Path, typer.Argument(help="Parameter file.")] = PARAMS) -> None:
    """Validate params.yaml; a mistake is named, with what is allowed."""
    parsed = parameters.load(path)
    report(f"{path} is valid", {"model": parsed.model, "benchmarks": ", ".join(parsed.benchmarks)})


def _print(folder: Path, name: str, as_json: bool) -> None:
    """The -S arguments that make of this params.yaml what the profile would write: one line, quoted for a shell."""
    from facerec.params import overrides

    parameters.load(PARAMS)
    now, wanted = (yaml.safe_load(text) for text in (PARAMS.read_text(), profiles.compose(folder, name)))
    arguments = [word for change in overrides.between(now, wanted) for word in ("-S", change)]
    sys.stdout.write(f"{json.dumps({'arguments': arguments}) if as_json else shlex.join(arguments)}\n")


def _needs(folder: Path, name: str) -> list[dict[str, Any]]:
    """The catalog entries of a profile, and where each is."""
    from facerec.catalog import availability
    from facerec.catalog.entries import load_entry

    entries = [load_entry(each) for each in profiles.parameters(folder, name).entries]
    return [
        {
            "name": entry.name,
            "bytes": availability.size(entry),
            "how": availability.how(entry),
            "here": availability.here(entry),
        }
        for entry in entries
    ]


def _missing(needs: list[dict[str, Any]]) -> list[str]:
    return [need["name"] for need in needs if need["how"] != "rendered" and need["here"] in ("", "partly")]


def _list(folder: Path, names: list[str], as_json: bool) -> None:
    from facerec.catalog import availability
    from facerec.catalog.entries import load_entry

    found = {name: _needs(folder, name) for name in names}
    lacking = dict.fromkeys(each for needs in found.values() for each in _missing(needs))
    advice = {name: availability.advice(load_entry(name)) for name in lacking}
    about = {name: profiles.describe_profile(folder, name) for name in names}
    if as_json:
        rows = [{"name": name, "about": about[name], "needs": needs} for name, needs in found.items()]
        sys.stdout.write(json.dumps({"profiles": rows, "missing": advice}, sort_keys=True) + "\n")
        return
    console = Console(stderr=True, highlight=False)
    for name, needs in found.items():
        console.print(name, style="bold")
        _indented(console, about[name] if len(names) == 1 else f"{about[name].partition('. ')[0]}.")
        for need in needs:
            _indented(console, f"{need['name']:24}{_megabytes(need['bytes'])}  {_place(need)}")
    if advice:
        console.print("Where to get what is missing", style="bold")
    for name, how in advice.items():
        _indented(console, f"{name}: {_sentences(how)}")


def _indented(console: Console, text: str) -> None:
    console.print(Padding(Text(text, overflow="fold"), (0, 0, 0, 4), expand=False))


def _megabytes(size: int | None) -> str:
    return " " * 10 if size is None else f"{size / 1e6:>7,.1f} MB"


def _place(need: dict[str, Any]) -> str:
    if need["how"] == "rendered":
        return "rendered here"
    return str(need["here"]) if need["here"] not in ("", "partly") else f"missing, {need['how']}"


def _sentences(how: dict[str, Any]) -> str:
    """Where to get what is missing, for people."""
    files = ", ".join(how["files"])
    if how["by"] == "download":
        return f"{files}: the stage download fetches it from {' or '.join(how['from'])}. {how['by hand']}".strip()
    return f"{files}: put it into {how['put files into']}. {how['by hand']} See {how['homepage']}"
