"""The code that a stage runs, and its digests, on which the stages of an experiment repository depend.

In this project's own repository dvc.yaml lists the source files of each stage. An experiment repository has only its
stages; the library is installed elsewhere, on every machine at another place. There each stage depends on
code/<stage>.sha256, which lists the modules of the library that the stage runs, with their digests. So:

- An upgrade of facerec changes nothing by itself. `facerec lock` takes the new code over, and then exactly the stages
  whose code differs run again; `git diff code` shows which modules those are.
- A stage refuses to run with other code than its file lists, so that no output is recorded under the wrong code.

The files can be checked with `sha256sum -c` in the folder that facerec is installed in.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from facerec.core import ParamsError, require_path, sha256_of_file, write_text

FOLDER = Path("code")
INSTALLED = Path(__file__).resolve().parents[2]
"""The folder that holds the packages facerec and synthfaces."""
_REGISTERED = re.compile(r"facerec(\.\w+)+:\w+$")
_PLUMBING = (
    "facerec/__init__.py",
    "facerec/core/",
    "facerec/distributed/launching.py",
    "facerec/params/",
    "facerec/repository/",
    "stages/common.py",
)
"""Code that does not change the outputs of a stage, so that an edit there re-runs nothing."""


def code_of(stage: str, project: Path, installed: Path = INSTALLED) -> list[str]:
    """Source files that `stages/<stage>.py` of `project` can run, as sorted paths from `project` or `installed`.

    Imports inside functions, entries "module:name" of registries and the folder `templates` of a module that reads it
    count. Plumbing, imports for type checks and an `__init__.py` that is only a docstring do not.
    """
    script = project / f"stages/{stage}.py"
    names = {script: f"stages/{stage}.py"}
    pending = [script]
    while pending:
        for name in _understood(pending.pop().read_text(encoding="utf-8"))[1]:
            root = project if name.startswith("stages/") else installed
            if root / name not in names and (root / name).is_file() and _decides_bytes(name, root):
                names[root / name] = name
                pending.append(root / name)
    reading = [path for path in names if '/ "templates"' in path.read_text(encoding="utf-8")]
    return sorted({*names.values(), *(f"{Path(names[path]).parent.as_posix()}/templates" for path in reading)})


def write_locks(project: Path = Path(), installed: Path = INSTALLED) -> list[str]:
    """Write code/<stage>.sha256 for every stage of `project`, by the installed code; the names of those that changed."""
    changed = []
    wanted = {_lock(project, stage): _digest_lines(stage, project, installed) for stage in _stages(project)}
    for path, text in wanted.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
            changed.append(path.stem)
    for path in (project / FOLDER).glob("*.sha256"):
        if path not in wanted:
            path.unlink()
            changed.append(path.stem)
    return changed


def changed_stages(project: Path = Path(), installed: Path = INSTALLED) -> list[str]:
    """The stages of `project` whose installed code is not that of their file in code/; nothing is written."""
    locks = {stage: _lock(project, stage) for stage in _stages(project)}
    return [
        stage
        for stage, path in locks.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != _digest_lines(stage, project, installed)
    ]


def check_code(stage: str, project: Path = Path(), installed: Path = INSTALLED) -> None:
    """Raise ParamsError where the installed code is not that of code/<stage>.sha256; a project without one is free."""
    lock = _lock(project, stage)
    if not lock.is_file():
        return
    listed = [line.partition("  ") for line in lock.read_text(encoding="utf-8").splitlines()]
    other = [name for digest, _, name in listed if _digest(installed / name) != digest]
    if other:
        more = f" and {len(other) - 3} more" if len(other) > 3 else ""
        raise ParamsError(
            f"stage {stage} would run with other code than {lock} lists ({', '.join(other[:3])}{more}); install the "
            "facerec of requirements.txt, or take the installed one over with `facerec lock` and run `dvc repro`."
        )


def _stages(project: Path) -> list[str]:
    folder = project / "stages"
    require_path(folder, "run this in the repository of an experiment, which `facerec new` makes")
    return sorted(path.stem for path in folder.glob("*.py") if path.stem not in ("__init__", "common"))


def _lock(project: Path, stage: str) -> Path:
    return project / FOLDER / f"{stage}.sha256"


def _digest_lines(stage: str, project: Path, installed: Path) -> str:
    listed = [name for name in code_of(stage, project, installed) if not name.startswith("stages/")]
    paths = [path for name in listed for path in _files_of(installed / name)]
    return "".join(f"{_digest(path)}  {path.relative_to(installed).as_posix()}\n" for path in paths)


def _files_of(path: Path) -> list[Path]:
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


def _digest(path: Path) -> str:
    return sha256_of_file(path) if path.is_file() else ""


def _decides_bytes(name: str, root: Path) -> bool:
    return not name.startswith(_PLUMBING) and _understood((root / name).read_text(encoding="utf-8"))[0] > 1


@cache  # most stages run much the same files
def _understood(source: str) -> tuple[int, frozenset[str]]:
    """Number of statements, and `_imported`, of a source text."""
    tree = ast.parse(source)
    return len(tree.body), frozenset(_imported(tree))


def _imported(tree: ast.Module) -> set[str]:
    """Files that may be imported from this project's packages, and each `__init__.py` above them; some do not exist."""
    names: set[str] = set()
    for node in _nodes_that_run(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _REGISTERED.match(node.value):
            names.add(node.value.partition(":")[0])
    names = {name for name in names if name.split(".")[0] in ("facerec", "synthfaces", "stages")}
    names |= {name.rsplit(".", depth)[0] for name in names for depth in range(1, name.count(".") + 1)}
    bases = [name.replace(".", "/") for name in names]
    return {file for base in bases for file in (f"{base}.py", f"{base}/__init__.py")}


def _nodes_that_run(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes below `tree` but those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from _nodes_that_run(node)
