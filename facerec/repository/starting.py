"""Makes an experiment repository: git, DVC, the graph with its stages, the catalog, profiles and a README.

Everything the stages read lies in the new repository; only the library is installed. `facerec.repository.code` says how
the stages depend on it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import facerec
from facerec.core import ParamsError, atomic_dir, shipped, write_text
from facerec.params import profiles
from facerec.repository import code

_CODE = re.compile(r"^( *)- (?:facerec|synthfaces)(?:/.*)?\n", re.MULTILINE)
_STAGE = re.compile(r"^  (?=\w+:)", re.MULTILINE)
_ABOUT_CODE = re.compile(r"^# A stage depends on the code.*\n", re.MULTILINE)
_EXTRAS = "pipeline,synth,train"
_TARGETS = {"README.md": "README.md", "experiment.yml": ".github/workflows/experiment.yml"}
"""Template -> its place in the new repository."""


def start_experiment(folder: Path, profile: str = profiles.DEFAULT) -> bool:
    """Make the repository `folder`, which must be new or empty, with the parameters of a profile; whether it is committed.

    The commit fails where git does not know the user's name. Raises ParamsError for a folder that holds something, an
    unknown profile, and a machine without git.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ParamsError(f"{folder} exists and is not empty; name another folder.")
    if shutil.which("git") is None:
        raise ParamsError("an experiment lies in a git repository, and git is not installed; install it.")
    source = shipped()
    params = profiles.compose_params(source / "profiles", profile)  # a wrong name ends before anything is written
    with atomic_dir(folder) as made:
        _copy(source, made)
        write_text(made / "dvc.yaml", with_locked_code((source / "dvc.yaml").read_text(encoding="utf-8")))
        write_text(made / "params.yaml", params)
        for template, target in _TARGETS.items():
            text = (files("facerec.repository") / "templates" / template).read_text(encoding="utf-8")
            write_text(made / target, text.replace("@NAME@", folder.resolve().name))
        write_text(made / "requirements.txt", f"facerec[{_EXTRAS}]=={facerec.__version__}\n")
        write_text(made / ".dvc/.gitignore", "/config.local\n/tmp\n/cache\n")
        write_text(made / "reports/sheets/.gitkeep", "")
        code.write_locks(made)
    _git(folder, "init", "--quiet", "--initial-branch", "main")
    _git(folder, "add", "--all")
    return _git(folder, "commit", "--quiet", "--message", f"New experiment, facerec {facerec.__version__}") == 0


def lock_experiment(folder: Path = Path()) -> list[str]:
    """Take the installed code over: code/ and the version in requirements.txt. The names of the stages that changed."""
    changed = code.write_locks(folder)
    required = folder / "requirements.txt"
    if required.is_file():
        before = required.read_text(encoding="utf-8")
        after = re.sub(r"(?m)^(facerec\S*==)\S+", rf"\g<1>{facerec.__version__}", before)
        if after != before:
            write_text(required, after)
    return changed


def with_locked_code(graph: str) -> str:
    """The text of dvc.yaml with one file of code/ in place of the modules of the library that a stage depends on.

    >>> print(with_locked_code("stages:\\n  plots:\\n    deps:\\n      - facerec/a.py\\n      - facerec/b.py\\n"), end="")
    stages:
      plots:
        deps:
          - code/plots.sha256
    """
    head, *stages = _STAGE.split(graph)
    about = "# A stage depends on its script and on code/, the digests of the library's code (`facerec lock` writes them).\n"
    return _ABOUT_CODE.sub(about, head) + "".join(f"  {_with_lock(stage)}" for stage in stages)


def _with_lock(stage: str) -> str:
    name = stage.partition(":")[0]
    first = _CODE.search(stage)
    if first is None:
        return stage
    before, after = stage[: first.start()], stage[first.end() :]
    return f"{before}{first[1]}- {code.FOLDER / name}.sha256\n{_CODE.sub('', after)}"


def _copy(source: Path, target: Path) -> None:
    for pattern in (files("facerec.repository") / "files.txt").read_text(encoding="utf-8").split():
        for path in sorted(source.glob(pattern)):
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def _git(folder: Path, *words: str) -> int:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, check=False).returncode
