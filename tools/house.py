"""The rooms of the house and which of them use which, from the imports: the picture in docs/architecture.md.

A room is a folder of `facerec/`, or one of the packages beside it. `python -m tools.house` writes the picture.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import networkx

from facerec.core import write_text
from tools.graph import ROOT

PAGE = ROOT / "docs/architecture.md"
_PICTURE = re.compile(r"(?<=```mermaid\n).*?(?=```)", re.DOTALL)
_GROUND = ("core", "imaging", "params")
"""Rooms that nearly all others use; arrows to them would hide the rest of the picture."""


def rooms(root: Path = ROOT) -> networkx.DiGraph:
    """A node a room, an edge from each room to every room that it imports from, with the number of imports."""
    graph = networkx.DiGraph()
    files = [*(root / "facerec").rglob("*.py"), *(root / "synthfaces").glob("*.py"), *(root / "stages").glob("*.py")]
    for file in sorted(files):
        room = _room(".".join(file.relative_to(root).with_suffix("").parts))
        if room is None:
            continue
        graph.add_node(room)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    used = _room(f"{node.module}.{alias.name}")
                    if used is not None and used != room:
                        known = graph.get_edge_data(room, used, {"imports": 0})["imports"]
                        graph.add_edge(room, used, imports=known + 1)
    return graph


def _room(module: str) -> str | None:
    """The room a module stands in; None for what is not ours and for the front door."""
    package, *inner = module.split(".")
    if package in ("synthfaces", "stages"):
        return package
    is_room = package == "facerec" and inner and (ROOT / "facerec" / inner[0]).is_dir()
    return inner[0] if is_room else None


def picture(graph: networkx.DiGraph) -> str:
    """The rooms for Mermaid: who builds on whom, without arrows to the ground floor and those a longer way implies."""
    upper = graph.subgraph([room for room in graph if room not in _GROUND])
    edges = sorted(networkx.transitive_reduction(upper).edges)
    ground = f'  ground["{", ".join(_GROUND)}"]\n'
    lowest = sorted(room for room in upper if not any(edge[0] == room for edge in edges))
    lines = [f"  {above} --> {below}\n" for above, below in edges]
    return "".join(["flowchart TD\n", *lines, ground, *(f"  {room} --> ground\n" for room in lowest)])


def circles(graph: networkx.DiGraph) -> list[list[str]]:
    """Rooms that import one another in a circle, each circle once; [] is as it should be."""
    return sorted(sorted(circle) for circle in networkx.simple_cycles(graph))


def main() -> None:
    """Write the picture into docs/architecture.md."""
    text = PAGE.read_text(encoding="utf-8")
    write_text(PAGE, _PICTURE.sub(lambda _: picture(rooms()), text, count=1))


if __name__ == "__main__":
    main()
