"""Write facerec/cli/commands.json: what `facerec --help` says of every command, so that it need not import them."""

from __future__ import annotations

import inspect
import json
from typing import Any

from facerec.cli.commands import FILES, LISTING, Listed, load_commands
from facerec.core import write_text


def listing() -> dict[str, Listed]:
    """Every command, by the order of the files, whichever was imported first; groups of commands come last."""
    commands = load_commands().commands.items()
    known = sorted(commands, key=lambda each: (hasattr(each[1], "commands"), FILES.index(_file(each[1]))))
    return {name: _listed(command) for name, command in known}


def text(listed: dict[str, Listed]) -> str:
    """The content of commands.json."""
    return json.dumps(listed, indent=1, ensure_ascii=False) + "\n"


def _listed(command: Any) -> Listed:
    said = inspect.cleandoc(command.help).split("\n\n")[0]
    return {"file": _file(command), "panel": str(command.rich_help_panel), "help": said}


def _file(command: Any) -> str:
    inner: Any = next(iter(getattr(command, "commands", {"": command}).values()))
    return str(inspect.unwrap(inner.callback).__module__.removeprefix("facerec.cli."))


if __name__ == "__main__":
    write_text(LISTING, text(listing()))
