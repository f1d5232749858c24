"""What README.md and docs/ name is there: commands in running text with their options, make targets, files, links."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pytest
from dvc.cli.parser import get_main_parser

from facerec.cli.commands import load_commands
from tests import documents
from tests.conftest import ROOT

PAGES = documents.pages()
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
LINK = re.compile(r"\]\((?!https?://)([^)#]+)(#[^)]*)?\)")


def unknown(words: list[str]) -> str:
    """What of a command, or of its beginning, is not there; "" where all is."""
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return ", ".join(word for word in words[1:] if "=" not in word and word not in targets)
    return _unknown(get_main_parser() if words[0] == "dvc" else load_commands(), words[1:])


def _unknown(parser: Any, words: list[str]) -> str:
    """Of the words after a program's name: a command or a long option that its parser lacks."""
    inner = _commands(parser)
    if inner and words and not words[0].startswith("-"):
        if words[0].isupper():  # COMMAND, whichever
            return ""
        return _unknown(inner[words[0]], words[1:]) if words[0] in inner else words[0]
    named = [word.split("=")[0] for word in words if word.startswith("--")]
    return ", ".join(word for word in named if word not in _options(parser))


def _commands(parser: Any) -> dict[str, Any]:
    if not isinstance(parser, argparse.ArgumentParser):
        return getattr(parser, "commands", {})
    groups = [each.choices for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    return dict(groups[0]) if groups else {}


def _options(parser: Any) -> set[str]:
    if isinstance(parser, argparse.ArgumentParser):
        return set(parser._option_string_actions)
    return {option for parameter in parser.params for option in parameter.opts} | {"--help"}


@by_page
def test_commands_in_the_text_exist(page: Path) -> None:
    wrong = {" ".join(words): problem for words in documents.spans(page) if (problem := unknown(words))}
    assert wrong == {}


def test_wrong_commands_are_noticed() -> None:
    for line in ("make nothing", "dvc repo", "dvc exp run --quickly", "facerec detekt", "facerec embed --fast x"):
        assert unknown(line.split()), line
    for line in ("make test", "dvc exp run -S KEY=VALUE", "facerec COMMAND --json", "facerec megaface identify"):
        assert not unknown(line.split()), line


@by_page
def test_commands_stand_where_they_are_run(page: Path) -> None:
    for block in documents.blocks(page):
        assert block.language not in ("bash", "sh", "shell", "zsh", ""), f"{block.place}: use ```console"
        if block.language == "console":
            assert block.commands, block.place
        assert len(block.notes.get("not run", "a reason")) > 5, f"{block.place}: say why"
    assert not re.search(r"^ {4,}\$ ", page.read_text(), re.MULTILINE), "use ```console"


@by_page
def test_links_lead_somewhere(page: Path) -> None:
    missing = [link for link, _ in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


def test_a_page_is_read_as_its_reader_sees_it(tmp_path: Path) -> None:
    text = (
        "Text `facerec check`.\n\n<!-- run first: touch a\ntouch b -->\n<!-- run instead: true -->\n"
        "```console\n$ facerec detect a \\\n    --json   # faces\n{...}\n$ false\nerror: so\n$ false  # fails\n```\n"
        "```yaml\na: 1\n```\n\n<!-- not run: no GPU here -->\n\n```console\n$ `x`\n```\n"
    )
    (tmp_path / "page.md").write_text(text)
    first, second, third = documents.blocks(tmp_path / "page.md")
    assert first.place == "page.md:6"
    assert first.notes == {"run first": "touch a\ntouch b", "run instead": "true"}
    detect, false, again = first.commands
    assert (detect.plain, detect.printed) == ("facerec detect a \\\n    --json", ["{...}"])
    assert (detect.fails, false.fails, again.fails) == (False, True, True)
    assert (second.language, second.notes) == ("yaml", {})
    assert third.notes == {"not run": "no GPU here"}
    assert documents.spans(tmp_path / "page.md") == [["facerec", "check"]]


def test_what_is_printed_is_compared_line_by_line() -> None:
    assert documents.lacking(["a  b", "c...e"], "x\n a b\nc d e\n") == []
    assert documents.lacking(["a", "c.e"], "ab\nc-e\n") == ["a", "c.e"]


def test_every_page_is_listed() -> None:
    """In the navigation of the site, without which `make site` fails, and in docs/README.md."""
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    navigation = re.findall(r"^ +- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    links = {link for link, _ in LINK.findall((ROOT / "docs/README.md").read_text())}
    assert pages - set(navigation) == set()
    assert pages - links == set()
