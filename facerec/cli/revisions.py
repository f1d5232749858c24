"""What git and DVC's cache know of revisions and experiments; nothing is checked out, no file of the workspace changes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from facerec.core import FacerecError
from facerec.evaluation.comparison import RESULT, Side

if TYPE_CHECKING:
    from dvc.fs.dvc import DVCFileSystem

WORKSPACE = "workspace"
"""The revision of what lies on the disk, as DVC calls it."""
_SCORES = "/data/scores"  # from the root of the project, wherever in it we are


class RevisionError(FacerecError):
    """A revision that is unknown, or whose scores cannot be had."""


def fetch(revision: str, folder: Path) -> Side:
    """Copy the scores of `revision` into `folder`, a folder a benchmark.

    A revision is what git or DVC resolves, a branch, tag, commit or the name of an experiment, or "workspace". Raises
    RevisionError where it is unknown, has no scores, or they are neither on the disk nor in the cache.
    """
    with _explained(revision):
        files = _open(revision)
        for path in _paths(files):
            target = folder / PurePosixPath(path).relative_to(_SCORES)
            target.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(path, str(target))
    side = Side(revision, folder)
    if not side.benchmarks():
        raise RevisionError(f"{revision} has no scores below {_SCORES[1:]}; run `dvc repro` there.")
    return side


def experiments(commits: int) -> list[dict[str, Any]]:
    """What `dvc exp show --json` prints of the last so many commits; RevisionError in its own words."""
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json", "--num", str(commits)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        told = [
            line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")
        ]
        raise RevisionError(f"dvc exp show failed: {' '.join(told) or done.stderr.strip()}.")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def _open(revision: str) -> DVCFileSystem:
    from dvc.api import DVCFileSystem

    files = DVCFileSystem(rev=None if revision == WORKSPACE else revision)
    if getattr(files.repo, "dvc_dir", None) is None:
        raise RevisionError(f"{revision} is no DVC project; go to the repository of the experiment.")
    return files


def _paths(files: DVCFileSystem) -> list[str]:
    """What tells the outcomes of pairs, for every benchmark of the graph whose stage ever ran."""
    try:
        benchmarks = files.ls(_SCORES, dvc_only=True)
    except FileNotFoundError:
        return []
    made = [
        each["name"]
        for each in benchmarks
        if each["dvc_info"].get("md5") or files.exists(f"{each['name']}/{RESULT}")
    ]
    paths = [path for benchmark in made for path in files.ls(benchmark, detail=False)]
    return [path for path in paths if path.endswith((f"/{RESULT}", ".parquet"))]


@contextmanager
def _explained(revision: str) -> Iterator[None]:
    """One sentence for whatever DVC says."""
    from dvc.exceptions import DvcException
    from dvc.scm import RevError, SCMError
    from dvc_data.index import DataIndexError

    try:
        yield
    except RevError as error:
        raise RevisionError(
            f"there is no revision {revision}; `git branch --all`, `git log` and `dvc exp list` name them."
        ) from error
    except SCMError as error:
        raise RevisionError(f"{error}; go to the repository of the experiment.") from error
    except (DataIndexError, FileNotFoundError) as error:
        raise RevisionError(
            f"some scores of {revision} are not in DVC's cache; fetch them with `dvc pull`, or check the revision "
            "out and make them again with `dvc repro`."
        ) from error
    except DvcException as error:
        raise RevisionError(f"DVC cannot read {revision}: {error}.") from error
