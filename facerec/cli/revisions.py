"""What the commands on experiments read with DVC: scores and locks of revisions, outputs, the table of `dvc exp show`.

A revision is a branch, tag, commit, the name of an experiment, or "workspace". Nothing is checked out.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from facerec.core import FacerecError, FormatError, parse_json
from facerec.evaluation.comparison import RESULT, Side
from facerec.reporting.cache_check import StoredOutput
from facerec.reporting.reproduction import RecordedRun, record_run

if TYPE_CHECKING:
    from dvc.fs.dvc import DVCFileSystem

WORKSPACE = "workspace"
"""DVC's name for the files on the disk, as a revision."""
_SCORES = "/data/scores"  # from the root of the project, also in a subfolder of it


class RevisionError(FacerecError):
    """A revision that is unknown, or whose scores or dvc.lock are missing."""


def fetch_scores(revision: str, folder: Path) -> Side:
    """Copy the scores of `revision` into `folder`, a folder for each benchmark.

    Raises RevisionError where it is unknown or has no scores, or where they are neither on the disk nor in the cache.
    """
    with _explaining_errors(revision):
        files = _open_revision(revision)
        for path in _score_files(files):
            target = folder / PurePosixPath(path).relative_to(_SCORES)
            target.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(path, str(target))
        side = Side(revision, folder, _arithmetic(files))
    if not side.benchmarks():
        raise RevisionError(f"{revision} has no scores below {_SCORES[1:]}; run `dvc repro` there.")
    return side


def read_run(revision: str) -> RecordedRun:
    """What dvc.lock of `revision` records of the stages in its dvc.yaml; an older stage that stayed in it is left out.

    Raises RevisionError where the revision is unknown or has no dvc.lock, and FormatError where that is damaged.
    """
    with _explaining_errors(revision):
        files = _open_revision(revision)
        lock = _read(files, "dvc.lock")
        if lock is None:
            raise RevisionError(
                f"{revision} has no dvc.lock, so no run is recorded there; `dvc repro` makes one, a commit keeps it."
            )
        names = [stage.name for stage in files.repo.index.stages if stage.path_in_repo == "dvc.yaml"]
        constraints = _read(files, "constraints.txt") or ""
        commit = "" if revision == WORKSPACE else files.repo.get_rev()
        return record_run(revision, commit, lock, names, _arithmetic(files), constraints)


def read_outputs() -> tuple[Path, Path, list[StoredOutput]]:
    """The root of this project, the folder of DVC's cache, and all outputs of dvc.yaml as dvc.lock records them."""
    with _explaining_errors(WORKSPACE):
        repo = _open_revision(WORKSPACE).repo
        root = Path(repo.root_dir)
        outs = [out for stage in repo.index.stages if stage.path_in_repo == "dvc.yaml" for out in stage.outs]
        stored = [
            StoredOutput(Path(out.fs_path).relative_to(root).as_posix(), out.hash_info.value, out.use_cache)
            for out in outs
            if out.hash_info
        ]
        return root, Path(repo.cache.local.path), stored


def stage_arguments(name: str) -> list[str]:
    """What Python runs for a stage, such as detect@lfw, in this project: -m, the module, its arguments."""
    with _explaining_errors(WORKSPACE):
        stages = {stage.addressing: stage for stage in _open_revision(WORKSPACE).repo.index.stages}
    if name not in stages:
        kind = name.partition("@")[0]
        keys = [each.partition("@")[2] for each in stages if each.startswith(f"{kind}@")]
        known = f"{kind} has the keys {', '.join(keys)}" if keys else "`dvc stage list` names all"
        raise RevisionError(f"there is no stage {name} in dvc.yaml with this params.yaml; {known}.")
    return shlex.split(stages[name].cmd)[1:]


def list_experiments(commits: int) -> list[dict[str, Any]]:
    """The output of `dvc exp show --json` for the last so many commits; RevisionError with its message."""
    import dvc  # noqa: F401  its absence is explained before anything runs

    command = [sys.executable, "-m", "dvc", "exp", "show", "--json", "--num", str(commits)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        told = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        raise RevisionError(f"dvc exp show failed: {' '.join(told) or done.stderr.strip()}.")
    found: list[dict[str, Any]] = parse_json(done.stdout, "the output of dvc exp show", RevisionError)
    return found


def _open_revision(revision: str) -> DVCFileSystem:
    from dvc.api import DVCFileSystem

    files = DVCFileSystem(rev=None if revision == WORKSPACE else revision)
    if getattr(files.repo, "dvc_dir", None) is None:
        raise RevisionError(f"{revision} is no DVC project; go to the repository of the experiment.")
    return files


def _read(files: DVCFileSystem, path: str) -> str | None:
    """The text of a file of the project; None where it is not there. (`files.exists` would hide a damaged dvc.lock.)"""
    try:
        return str(files.read_text(f"/{path}"))
    except FileNotFoundError:
        return None


def _arithmetic(files: DVCFileSystem) -> str | None:
    """The kinds of machine that the run was computed on; None where its summary does not say, as of old runs."""
    try:
        found = parse_json(_read(files, "reports/summary.json") or "{}", "reports/summary.json").get("arithmetic")
    except (FormatError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def _score_files(files: DVCFileSystem) -> list[str]:
    """The files with the scores of pairs, for every benchmark of the graph whose stage has run."""
    try:
        benchmarks = files.ls(_SCORES, dvc_only=True)
    except FileNotFoundError:
        return []
    made = [
        each["name"] for each in benchmarks if each["dvc_info"].get("md5") or files.exists(f"{each['name']}/{RESULT}")
    ]
    paths = [path for benchmark in made for path in files.ls(benchmark, detail=False)]
    return [path for path in paths if path.endswith((f"/{RESULT}", ".parquet"))]


@contextmanager
def _explaining_errors(revision: str) -> Iterator[None]:
    """Turn DVC's errors into one sentence."""
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
        raise RevisionError(f"{error}; go to a clone of the project, made with git.") from error
    except (DataIndexError, FileNotFoundError) as error:
        raise RevisionError(
            f"some scores of {revision} are not in DVC's cache. Where a remote has them, `dvc fetch --all-commits` gets "
            f"them; else make a baseline here: `dvc repro` with the parameters of {revision}, commit, and compare with that "
            "(docs/reproducing.md)."
        ) from error
    except DvcException as error:
        raise RevisionError(f"DVC cannot read {revision}: {error}.") from error
