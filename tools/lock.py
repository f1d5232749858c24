"""Check that dvc.lock fits dvc.yaml and params.yaml: the same stages with the same commands, inputs and outputs.

`python -m tools.lock` is a pre-commit hook. It compares no contents, so it takes a second; `dvc status` does the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from dvc.repo import Repo
from dvc.stage.serialize import to_single_stage_lockfile

from facerec.core import ParamsError, run_command


def compare_locks(stages: Mapping[str, Any], locked: Mapping[str, Any]) -> list[str]:
    """Differences between the stages as DVC would lock them now and as dvc.lock has them."""
    missing = [f"{name} is not in dvc.lock" for name in stages if name not in locked]
    return missing + [
        f"{name} has other {part} in dvc.lock"
        for name, stage in stages.items()
        for part in ("cmd", "deps", "outs")
        if name in locked and _names(stage.get(part)) != _names(locked[name].get(part))
    ]


def _names(part: Any) -> Any:
    """The command, or the sorted paths of inputs or outputs."""
    return sorted(each["path"] for each in part) if isinstance(part, list) else part


def main() -> None:
    """Raise ParamsError if dvc.lock of the project in the current directory does not fit."""
    with Repo() as repo:
        found = {
            str(stage.name): to_single_stage_lockfile(stage)
            for stage in repo.index.stages
            if getattr(stage, "name", None)
        }
        file = Path(repo.root_dir) / "dvc.lock"
    locked = yaml.safe_load(file.read_text(encoding="utf-8"))["stages"] if file.is_file() else {}
    wrong = compare_locks(found, locked)
    if wrong:
        raise ParamsError(f"dvc.lock is of another dvc.yaml or params.yaml: {'; '.join(wrong)}. Run `dvc repro`.")


if __name__ == "__main__":
    sys.exit(run_command(main))
