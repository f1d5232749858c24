"""Commands about the experiment as a whole: profiles and parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facerec import params as parameters
from facerec import profiles
from facerec.cli.common import app, report


@app.command()
def profile(
    name: Annotated[str, typer.Argument(help="The profile; none lists them.")] = "",
    folder: Annotated[Path, typer.Option(help="Where the profiles are.")] = Path("profiles"),
) -> None:
    """Write params.yaml for a profile, such as lfw; `default` goes back."""
    if not name:
        report("Profiles", {each: profiles.describe(folder, each) for each in profiles.names(folder)})
        return
    profiles.apply(folder, name, Path("params.yaml"))
    report(f"Profile {name}", {"written": "params.yaml", "next": "dvc repro"})


@app.command()
def check(path: Annotated[Path, typer.Argument(help="Parameter file.")] = Path("params.yaml")) -> None:
    """Validate params.yaml; a mistake is named, with what is allowed."""
    parsed = parameters.load(path)
    report(f"{path} is valid", {"model": parsed.model, "benchmarks": ", ".join(parsed.benchmarks)})
