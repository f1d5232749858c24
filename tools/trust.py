"""The tables of docs/trust.md: which attacks were tried, what happens, and the tests that repeat them.

A test says so itself, and the page has a heading for each of the sections:

    @pytest.mark.attack("Servers", "a body without end", "stopped and removed")
    def test_a_body_without_end(...

Tests with the same section and attack share a row; a module's `pytestmark` stands for the whole file. `python -m tools.trust`
writes the tables; with `--run` it runs the tests first and writes how they ended above them.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from facerec.core import write_text
from tools.graph import ROOT

PAGE = ROOT / "docs/trust.md"
_TABLE = re.compile(r"(?<=^## )(?P<section>[^\n]+)\n\n(?P<rows>\| attack \|.*?)(?=^[^|]|\Z)", re.MULTILINE | re.DOTALL)
_RUN = re.compile(r"(?<=<!-- last run -->\n).*?(?=\n<!-- end -->)", re.DOTALL)
_HEAD = "| attack | what happens | test |\n|---|---|---|\n"


class Attack(NamedTuple):
    """What a marker says, and the test or file it stands above."""

    section: str
    what: str
    result: str
    test: str


def attacks() -> list[Attack]:
    """The markers of all tests, by file and line."""
    return [attack for file in sorted((ROOT / "tests").rglob("test_*.py")) for attack in _marked(file)]


def _marked(file: Path) -> Iterator[Attack]:
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            name, marks = node.name, node.decorator_list
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            name = file.relative_to(ROOT).as_posix()
            marks = node.value.elts if isinstance(node.value, ast.List) else [node.value]
        else:
            continue
        for mark in marks:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.attack":
                section, what, result = map(ast.literal_eval, mark.args)
                yield Attack(section, what, result, name)


def with_tables(page: str, found: list[Attack]) -> str:
    """The page with the tables of the attacks; ValueError for a section that has no heading with a table below it."""
    sections = {match["section"] for match in _TABLE.finditer(page)}
    if lost := sorted({attack.section for attack in found} - sections):
        raise ValueError(f"docs/trust.md has no heading and table for {lost}")
    return _TABLE.sub(lambda match: f"{match['section']}\n\n{_HEAD}{_rows(match['section'], found)}", page)


def _rows(section: str, found: list[Attack]) -> str:
    rows: dict[tuple[str, str], list[str]] = {}
    for attack in found:
        if attack.section == section:
            rows.setdefault((attack.what, attack.result), []).append(f"`{attack.test}`")
    return "".join(f"| {what} | {result} | {', '.join(tests)} |\n" for (what, result), tests in rows.items())


def run() -> str:
    """Run the tests of the page but for the slow ones; how many passed, and the names of those that did not."""
    report = ROOT / ".facerec/trust.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "attack and not slow",
        "-p",
        "no:cacheprovider",
        f"--junitxml={report}",
    ]
    subprocess.run(command, cwd=ROOT, check=False)
    cases = [*ElementTree.parse(report).iter("testcase")]
    ended = {kind: [case for case in cases if case.find(kind) is not None] for kind in ("failure", "error", "skipped")}
    failed = sorted({case.attrib["name"].partition("[")[0] for kind in ("failure", "error") for case in ended[kind]})
    passed = len(cases) - sum(map(len, ended.values()))
    told = f"Last run (`make attacks`): {passed} tests passed, {len(ended['skipped'])} were skipped"
    return f"{told}, these failed: {', '.join(failed)}." if failed else f"{told}, none failed."


def main() -> None:
    """Write the page."""
    page = with_tables(PAGE.read_text(encoding="utf-8"), attacks())
    if "--run" in sys.argv[1:]:
        told = run()
        page = _RUN.sub(lambda _: told, page)
    write_text(PAGE, page)


if __name__ == "__main__":
    main()
