"""Commands in the Markdown files of this project: what is shown, what a test runs of it, and why not where it does not.

A fenced block `console` shows commands after "$ " and what they print; the lines of a command that ends in a backslash
belong together. An HTML comment right above a block, unseen on the page, tells the test how to take it:

    <!-- not run: it needs real photos -->            why the block is not run
    <!-- run first: cp a.jpg photo.jpg -->            commands that set the scene, of any number of lines
    <!-- run instead: dvc repro verify@synth_lfw -->  commands that do the same on a small scale

What is printed below a command has to come out of it, line by line, with "..." for anything. A command above "error: ..." or with
"# fails" at its end has to fail. A block `python` is run as a program.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT

_FENCE = re.compile(r"^(?P<mark>`{3,})(?P<language>\S*)[^\n]*\n(?P<body>.*?)^(?P=mark)`*\s*$", re.DOTALL | re.MULTILINE)
_NOTE = re.compile(r"<!--\s*(?P<kind>not run|run first|run instead):(?P<text>(?:(?!-->).)*)-->\s*\Z", re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")
_COMMENT = re.compile(r"\s+#\s.*$")
RUN = ("console", "python")
"""Languages of the blocks that are run; one of another shell's name would be overlooked."""


@dataclass
class Command:
    """A command as it is shown, and the lines below it."""

    text: str
    printed: list[str] = field(default_factory=list)

    @property
    def plain(self) -> str:
        """Without the comment at its end."""
        return _COMMENT.sub("", self.text).strip()

    @property
    def fails(self) -> bool:
        """Whether what is shown is an error, or it says so itself."""
        return self.text.endswith("# fails") or any(line.startswith("error: ") for line in self.printed)


@dataclass(frozen=True)
class Block:
    """A fenced block; `notes` are the comments above it by their kind, such as "not run"."""

    place: str
    language: str
    body: str
    notes: dict[str, str]

    @property
    def commands(self) -> list[Command]:
        """The commands of a console."""
        found: list[Command] = []
        goes_on = False
        for line in self.body.splitlines():
            if goes_on:
                found[-1].text += f"\n{line}"
            elif line.startswith("$ "):
                found.append(Command(line[2:]))
            elif line.strip():
                assert found, f"{self.place}: {line!r} stands above the first command"
                found[-1].printed.append(line)
                continue
            goes_on = line.endswith("\\")
        return found


def pages() -> list[Path]:
    """README.md and all of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = path.read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        above = text[: fence.start()]
        place = f"{path.name}:{len(above.splitlines()) + 1}"
        found.append(Block(place, fence["language"], fence["body"], dict(_notes(above))))
    return found


def _notes(above: str) -> Iterator[tuple[str, str]]:
    """The comments that `above` ends in."""
    while note := _NOTE.search(above):
        yield note["kind"], note["text"].strip()
        above = above[: note.start()]


def spans(path: Path) -> list[list[str]]:
    """Commands in running text, in backticks, as words."""
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    starts = ("facerec ", "dvc ", "make ")
    return [shlex.split(span) for span in _SPAN.findall(text) if span.startswith(starts)]


def lacking(printed: list[str], output: str) -> list[str]:
    """The lines of `printed` that are not in `output`, where "..." stands for anything."""
    lines = [" ".join(line.split()) for line in output.splitlines()]
    patterns = {line: ".*".join(map(re.escape, " ".join(line.split()).split("..."))) for line in printed}
    return [line for line, pattern in patterns.items() if not any(re.fullmatch(pattern, each) for each in lines)]
