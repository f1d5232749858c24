"""The graph of dvc.yaml as DVC sees it: its picture in README.md, and which stages a parameter re-runs.

Stages made by `foreach` count as one. `python -m tools.graph` writes the picture into README.md.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

import networkx
import yaml
from dvc.repo import Repo

from facerec.files import write_text

ROOT = Path(__file__).resolve().parent.parent
_PICTURE = re.compile(r"(?<=```mermaid\n).*?(?=```)", re.DOTALL)
_VARIABLE = re.compile(r"\$\{([a-z_.]+)\}")


class Graph:
    """The stages of a project with the parameters it has now."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._stages: dict[str, Any] = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))[
            "stages"
        ]

    @property
    def stages(self) -> list[str]:
        """Names in the order of dvc.yaml."""
        return list(self._stages)

    @cached_property
    def follows(self) -> networkx.DiGraph:
        """An edge from each stage to every other one that reads what it writes."""
        graph = networkx.DiGraph()
        graph.add_nodes_from(self._stages)
        with Repo(str(self._root)) as repo:
            for after, before in repo.index.graph.edges:
                first, second = (str(stage.name).split("@")[0] for stage in (before, after))
                if first != second:
                    graph.add_edge(first, second)
        return graph

    def picture(self) -> str:
        """The graph for Mermaid, without edges that longer ways between two stages make superfluous."""
        shown = networkx.transitive_reduction(self.follows)
        order = {name: number for number, name in enumerate(self._stages)}
        edges = sorted(shown.edges, key=lambda edge: (order[edge[0]], order[edge[1]]))
        return "".join(["flowchart LR\n", *(f"  {before} --> {after}\n" for before, after in edges)])

    def reruns(self, key: str) -> list[str]:
        """Stages that run again when parameter `key` changes, such as train.head.margin or benchmarks.NAME.faces."""
        readers = {name for name, body in self._stages.items() if _reads(body, key)}
        reached = readers.union(*(networkx.descendants(self.follows, name) for name in readers))
        return [name for name in self._stages if name in reached]


def _reads(body: dict[str, Any], key: str) -> bool:
    """Whether a stage of dvc.yaml depends on `key`: by its params, or by a name or path made of its value."""
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
    """The text of README.md with this graph in its one Mermaid block."""
    changed, count = _PICTURE.subn(lambda _: picture, readme)
    if count != 1:
        raise ValueError(f"README.md holds {count} blocks of mermaid, not one")
    return changed


def main() -> None:
    """Write the picture into README.md."""
    readme = ROOT / "README.md"
    write_text(readme, with_picture(readme.read_text(encoding="utf-8"), Graph().picture()))


if __name__ == "__main__":
    main()
