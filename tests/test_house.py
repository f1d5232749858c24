"""The structure of the code: rooms, imports between them, names. docs/architecture.md describes it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import networkx
import pytest

from tests.conftest import ROOT
from tools.house import PAGE, circles, picture, rooms

FILES = [file for folder in ("facerec", "stages", "synthfaces") for file in sorted((ROOT / folder).rglob("*.py"))]
MODULES = {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in FILES}
ROWS = re.findall(r"^\| (`.*?) \|", PAGE.read_text().partition("## The way of a photo")[0], re.MULTILINE)
ORDER = [room.removeprefix("facerec/") for row in ROWS for room in re.findall(r"`([\w/]+)`", row)]


house = cache(rooms)


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


@cache
def imports(file: Path) -> set[str]:
    """Modules of this project that a file imports anywhere."""
    found: set[str] = set()
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in MODULES}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found |= {full} if full in MODULES else {node.module} & MODULES.keys()
    return found


def test_nothing_but_the_front_door_lies_at_the_root() -> None:
    assert sorted(path.name for path in (ROOT / "facerec").glob("*.py")) == ["__init__.py", "__main__.py"]


def test_rooms_do_not_import_one_another_in_circles() -> None:
    assert circles(house()) == []


def test_files_do_not_import_one_another_in_circles() -> None:
    graph = networkx.DiGraph((name, used) for name, file in MODULES.items() for used in imports(file) if used != name)
    assert [circle for circle in networkx.strongly_connected_components(graph) if len(circle) > 1] == []


def test_no_room_imports_upward() -> None:
    """The table of docs/architecture.md lists the rooms from the ground up."""
    place = {room: number for number, room in enumerate(ORDER)}
    assert place.keys() == set(house())
    place["synthfaces"] = place["imaging"]
    assert [(above, below) for above, below in house().edges if place[above] < place[below]] == []


def test_the_renderer_knows_only_core_and_imaging() -> None:
    assert set(house()["synthfaces"]) <= {"core", "imaging"}


def test_every_class_has_a_name_of_its_own() -> None:
    names = Counter(
        node.name
        for file in FILES
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_a_file_imports_few_others() -> None:
    """But for the commands, which open every room."""
    counted = [len(imports(file)) for file in FILES if file.parent.name != "cli"]
    assert sum(counted) / len(counted) <= 2.85


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_functions_are_short(file: Path) -> None:
    long = [
        node.name
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None and node.end_lineno - node.lineno >= 60
    ]
    assert long == []


def test_the_picture_is_that_of_the_code() -> None:
    assert picture(house()) in PAGE.read_text(), "make docs draws it anew"
