"""Commands that draw."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facerec.cli.common import app
from facerec.core import ParamsError


@app.command()
def figure(
    out: Annotated[Path, typer.Argument(help="Picture to write, .png or .svg.")],
    curves: Annotated[
        list[str], typer.Argument(help="NAME=FILE: our curves or a devkit's cmc_*.json; repeatable.")
    ],
    kind: Annotated[str, typer.Option(help="roc or cmc.")] = "roc",
    title: Annotated[str, typer.Option(help="Title; a plain one by default.")] = "",
) -> None:
    """Draw the curves of several runs, models or systems in one figure."""
    from facerec.reporting import figures, overlay

    files: dict[str, Path] = {}
    for word in curves:
        name, equals, path = word.partition("=")
        if not (equals and name and path):
            raise ParamsError(f"figure takes NAME=FILE, not {word!r}.")
        if name in files:
            raise ParamsError(f"two curves are named {name}; give each its own name.")
        files[name] = Path(path)
    figures.save_figure(overlay.overlay_curves(files, kind, title), out)
