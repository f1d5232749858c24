"""The graph of dvc.yaml: its picture in README.md, the code that each stage depends on, the stages a parameter re-runs.

`python -m tools.graph` writes the picture into README.md and the code dependencies into dvc.yaml. Stages made by
`foreach` count as one.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

import networkx
import yaml
from dvc.repo import Repo

from facerec.core import write_text
from facerec.repository import code

ROOT = Path(__file__).resolve().parent.parent
_PICTURE = re.compile(r"(?<=```mermaid\n).*?(?=```)", re.DOTALL)
_CODE = re.compile(r"^ *- (stages|facerec|synthfaces)[/\n]")
_VARIABLE = re.compile(r"\$\{([a-z_.]+)\}")

ASKED = ("clean", "overlap", "openset", "slices", "quality", "disjoint")
"""Stages that run only where params.yaml asks for them."""


class Graph:
    """The stages of the project in `root`, with its current parameters."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._stages: dict[str, Any] = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]

    @property
    def stages(self) -> list[str]:
        """Names in the order of dvc.yaml."""
        return list(self._stages)

    @cached_property
    def follows(self) -> networkx.DiGraph:
        """An edge from each stage to every other one that reads what it writes.

        A stage that the default experiment does not use, such as download, is followed by the stages that follow
        another one with the same outputs.
        """
        graph = networkx.DiGraph()
        graph.add_nodes_from(self._stages)
        with Repo(str(self._root)) as repo:
            for after, before in repo.index.graph.edges:
                first, second = (str(stage.name).split("@")[0] for stage in (before, after))
                if first != second:
                    graph.add_edge(first, second)
        outs = {name: _paths(body, "outs") for name, body in self._stages.items()}
        for unused in list(networkx.isolates(graph)):
            twins = [name for name in outs if outs[name] == outs[unused]]
            graph.add_edges_from([(unused, after) for twin in twins for after in list(graph.successors(twin))])
        return graph

    def picture(self) -> str:
        """The graph for Mermaid, without edges that a longer path implies and without `ASKED`."""
        graph = self.follows.copy()
        graph.remove_nodes_from(ASKED)
        for unused in [name for name in graph if not graph.in_degree(name)]:
            read = _paths(self._stages[unused], "deps")
            graph.add_edges_from((name, unused) for name in graph if _paths(self._stages[name], "outs") & read)
        shown = networkx.transitive_reduction(graph)
        order = {name: number for number, name in enumerate(self._stages)}
        edges = sorted(shown.edges, key=lambda edge: (order[edge[0]], order[edge[1]]))
        return "".join(["flowchart LR\n", *(f"  {before} --> {after}\n" for before, after in edges)])

    def reruns(self, key: str) -> list[str]:
        """Stages that run again when parameter `key` changes, such as train.head.margin or benchmarks.NAME.faces."""
        readers = {name for name, body in self._stages.items() if _reads(body, key)}
        reached = readers.union(*(networkx.descendants(self.follows, name) for name in readers))
        return [name for name in self._stages if name in reached]


def _paths(stage: dict[str, Any], kind: str) -> set[str]:
    """The "outs" or "deps" of a stage, each variable as a star."""
    return {_VARIABLE.sub("*", path) for path in stage.get("do", stage).get(kind, []) if isinstance(path, str)}


def code_of(stage: str, root: Path = ROOT) -> list[str]:
    """Source files that `stages/<stage>.py` can run, as sorted paths from the root of the project."""
    return code.code_of(stage, root, root)


def folded(files: list[str], root: Path = ROOT) -> list[str]:
    """`files`, with a folder in place of its files where they are all listed, or all but each `__init__.py`."""
    left = set(files)
    folders = {parent for file in files for parent in Path(file).parents if parent.parts}
    for folder in sorted(folders, key=lambda each: len(each.parts)):
        inside = {path.relative_to(root).as_posix() for path in (root / folder).rglob("*.py")}
        missing = {Path(file).name for file in inside - left}
        if len(inside) > 1 and inside & left and missing <= {"__init__.py"}:
            left = left - inside | {folder.as_posix()}
    return sorted(left)


def with_code(text: str, root: Path = ROOT) -> str:
    """The text of dvc.yaml with the code dependencies of each stage replaced by the code it runs now."""
    stage, lines, written = "", [], set()
    for line in text.splitlines(keepends=True):
        name = re.match(r"  (\w+):", line)
        stage = name[1] if name else stage
        if not _CODE.match(line):
            lines.append(line)
        elif stage not in written:
            written.add(stage)
            indent = line[: line.index("-")]
            lines += [f"{indent}- {file}\n" for file in folded(code_of(stage, root), root)]
    return "".join(lines)


def _reads(body: dict[str, Any], key: str) -> bool:
    """Whether a stage of dvc.yaml depends on `key`, by its params or by a variable in its command, paths or names."""
    entry = f"{str(body.get('foreach', '')).strip('${}')}.NAME"
    inner = body.get("do", body)
    named = [str(name).replace("${key}", "NAME") for name in inner.get("params", [])]
    for variable in _VARIABLE.findall(yaml.safe_dump(inner)):
        head, _, rest = variable.partition(".")
        if head == "item":
            named.append(f"{entry}.{rest}".rstrip("."))
        elif head != "key":
            named.append(variable)
    return any(_within(key, name) or _within(name, key) for name in named) or _within(entry, key)


def _within(key: str, folder: str) -> bool:
    """Whether `key` is `folder` or below it."""
    return f"{key}.".startswith(f"{folder}.")


def with_picture(readme: str, picture: str) -> str:
    """The text of README.md with `picture` in its only Mermaid block."""
    changed, count = _PICTURE.subn(lambda _: picture, readme)
    if count != 1:
        raise ValueError(f"README.md holds {count} blocks of mermaid instead of one")
    return changed


def main() -> None:
    """Write the picture into README.md and the code dependencies into dvc.yaml."""
    graph = ROOT / "dvc.yaml"
    write_text(graph, with_code(graph.read_text(encoding="utf-8")))
    readme = ROOT / "README.md"
    write_text(readme, with_picture(readme.read_text(encoding="utf-8"), Graph().picture()))


if __name__ == "__main__":
    main()
