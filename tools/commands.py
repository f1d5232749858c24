"""Write facerec/cli/commands.json: what `facerec --help` says of every command, so that it need not import them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

from facerec.cli.commands import FILES, LISTING, Listed, load_commands
from facerec.core import write_text


def listing() -> dict[str, Listed]:
    """Every command, in the order of the help, whichever file was imported first."""
    return dict(sorted(_listed(), key=lambda each: FILES.index(each[1]["file"])))


def text(listed: dict[str, Listed]) -> str:
    """The content of commands.json."""
    return json.dumps(listed, indent=1, ensure_ascii=False) + "\n"


def _listed() -> Iterator[tuple[str, Listed]]:
    for name, command in load_commands().commands.items():
        inner: Any = next(iter(getattr(command, "commands", {"": command}).values()))
        file = inspect.unwrap(inner.callback).__module__.removeprefix("facerec.cli.")
        said = inspect.cleandoc(command.help).split("\n\n")[0]
        yield name, {"file": file, "panel": str(command.rich_help_panel), "help": said}


if __name__ == "__main__":
    write_text(LISTING, text(listing()))
