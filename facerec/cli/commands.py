"""The application, which imports the file of a command when it is run, and help without types.

`facerec --help` and shell completion know the commands from commands.json, which `make docs` writes from the files: all of
them together import ten times as much as the help shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypedDict

import typer
from typer.core import TyperCommand, TyperGroup

HELP = {"help_option_names": ["-h", "--help"]}
FILES = ("use", "data", "faces", "curation", "models", "measure", "protocols", "experiments")
"""The files of this folder with commands, in the order of the help."""
LISTING = Path(__file__).with_name("commands.json")


class Listed(TypedDict):
    """What is known of a command before its file is imported: that file, the heading above it, and its line of help."""

    file: str
    panel: str
    help: str


@cache
def listed_commands() -> dict[str, Listed]:
    """All commands by name, in the order of the help."""
    listed: dict[str, Listed] = json.loads(LISTING.read_text(encoding="utf-8"))
    return listed


class PlainCommand(TyperCommand):
    """A command whose help shows no types such as <bool> and <path>; the metavars say what a value is."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, also those that typer adds."""
        return _without_types(super().get_params(ctx))


class PlainGroup(TyperGroup):
    """A group of such commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, also those that typer adds."""
        return _without_types(super().get_params(ctx))


def _without_types(parameters: list[Any]) -> list[Any]:
    for each in parameters:
        if each.param_type_name == "argument":
            each.display_type = lambda ctx: ""
            name = each.display_name_raw if each.required else f"[{each.display_name_raw}]"
            each._usage_display_name = lambda name=name + "..." * (each.nargs != 1): name  # typer's has braces
        elif each.metavar is None:
            each.metavar = ""
    return parameters


class Commands(PlainGroup):
    """The group of all commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the order of the help."""
        return [*listed_commands()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, or where its file was not imported, what the help says of it."""
        if cmd_name in self.commands or cmd_name not in listed_commands():
            return self.commands.get(cmd_name)
        known = listed_commands()[cmd_name]
        return TyperCommand(cmd_name, help=known["help"], rich_help_panel=known["panel"])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is run, from its file; all files where there is none, to name one that is spelled alike."""
        listed = listed_commands()
        self.commands |= load_commands((listed[args[0]]["file"],) if args[0] in listed else FILES).commands
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands,
    help="Face recognition, from photos to CMC and ROC curves. `dvc repro` runs every step; these are the steps.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings=HELP,
)


def load_commands(files: Iterable[str] = FILES) -> Any:
    """The group of all commands, which has those of some files of this folder, and any imported before."""
    for file in files:
        import_module(f"facerec.cli.{file}")
    return typer.main.get_command(app)
