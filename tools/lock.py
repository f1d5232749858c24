"""Whether dvc.lock belongs to dvc.yaml and params.yaml: the same stages with the same commands, inputs and outputs.

No content is looked at, so it takes a second; `dvc status` tells the rest. `python -m tools.lock` is a pre-commit hook.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from dvc.repo import Repo
from dvc.stage.serialize import to_single_stage_lockfile

from facerec.core import ParamsError, console


def check(stages: Mapping[str, Any], locked: Mapping[str, Any]) -> list[str]:
    """What differs between stages as DVC would lock them now and as they are locked, by name; [] for nothing."""
    missing = [f"{name} is not in dvc.lock" for name in stages if name not in locked]
    return missing + [
        f"{name} has other {part} in dvc.lock"
        for name, stage in stages.items()
        for part in ("cmd", "deps", "outs")
        if name in locked and _names(stage.get(part)) != _names(locked[name].get(part))
    ]


def _names(part: Any) -> Any:
    """The command, or the paths of inputs or outputs."""
    return sorted(each["path"] for each in part) if isinstance(part, list) else part


def main() -> None:
    """Refuse a lock of other stages, in the project of the current directory."""
    with Repo() as repo:
        found = {
            str(stage.name): to_single_stage_lockfile(stage)
            for stage in repo.index.stages
            if getattr(stage, "name", None)
        }
        file = Path(repo.root_dir) / "dvc.lock"
    locked = yaml.safe_load(file.read_text(encoding="utf-8"))["stages"] if file.is_file() else {}
    wrong = check(found, locked)
    if wrong:
        raise ParamsError(
            f"dvc.lock is of another dvc.yaml or params.yaml: {'; '.join(wrong)}. Run `dvc repro`."
        )


if __name__ == "__main__":
    sys.exit(console.run_command(main))
