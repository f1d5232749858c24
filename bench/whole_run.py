"""The default experiment from nothing, this checkout against another one: time and CPU time of `dvc repro`, stage by stage.

    git worktree add /tmp/before COMMIT
    python bench/whole_run.py --against /tmp/before

Each run is of a clone of its own, so nothing is cached and loops are compiled first; the checkouts take turns. It checks
that two runs of this checkout give the same dvc.lock, if there are two rounds or more. Without --against, it runs alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil
from _timing import cpu_of_children

HERE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Run:
    """A run: its seconds, CPU seconds, those of DVC itself, the seconds of each kind of stage, and its dvc.lock."""

    seconds: float
    cpu: float
    dvc: float
    stages: dict[str, float]
    lock: str

    @property
    def starts(self) -> float:
        """Seconds in which neither a stage nor DVC was at work: processes started, imported what they need, and ended."""
        return self.seconds - self.dvc - sum(self.stages.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="checkout of another commit")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    checkouts = [HERE, *([options.against.resolve()] if options.against else [])]
    runs: list[list[Run]] = [[] for _ in checkouts]
    for number in range(options.rounds):
        for place, checkout in enumerate(checkouts):
            runs[place].append(run(checkout))
            print(f"round {number + 1}, {checkout}: {runs[place][-1].seconds:.0f} s", file=sys.stderr, flush=True)
    assert len({each.lock for each in runs[0]}) == 1, "two runs of this checkout differ"
    print("| | " + " | ".join(["now", "before"][: len(runs)]) + " |")
    print("|---" * (1 + len(runs)) + "|")
    kinds = list(runs[0][0].stages)
    for kind in kinds:
        print_row(kind, [[each.stages.get(kind, 0.0) for each in side] for side in runs])
    print_row("starting and ending the stages", [[each.starts for each in side] for side in runs])
    print_row("DVC itself", [[each.dvc for each in side] for side in runs])
    print_row("the whole run", [[each.seconds for each in side] for side in runs])
    print_row("its CPU seconds", [[each.cpu for each in side] for side in runs])


def print_row(name: str, sides: list[list[float]]) -> None:
    """A row of the table: the median of each side, in seconds."""
    print(f"| {name} | " + " | ".join(f"{median(side):.1f}" for side in sides) + " |")


def run(checkout: Path) -> Run:
    """`dvc repro` in a clone of what the checkout has committed."""
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name, "clone")
        subprocess.run(["git", "clone", "--quiet", "--shared", checkout, clone], check=True)
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("FACEREC_", "OMP_"))}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        before, begin = cpu_of_children(), time.perf_counter()
        said = Path(name, "said")
        with (
            said.open("w") as log,
            subprocess.Popen(["dvc", "repro"], cwd=clone, env=environment, stdout=log, stderr=log) as dvc,
        ):
            own = cpu_until_end(dvc)
            seconds, cpu = time.perf_counter() - begin, cpu_of_children() - before
        assert dvc.returncode == 0, said.read_text(encoding="utf-8")
        stages: dict[str, float] = {}
        for path in sorted((clone / ".facerec/stages").glob("*.json"), key=lambda each: each.stat().st_mtime):
            kind = path.stem.split("-")[0]
            stages[kind] = stages.get(kind, 0.0) + json.loads(path.read_text(encoding="utf-8"))["seconds"]
        return Run(seconds, cpu, own, stages, (clone / "dvc.lock").read_text(encoding="utf-8"))


def cpu_until_end(process: subprocess.Popen[bytes]) -> float:
    """Wait for a process, and return the CPU seconds that it took without its children."""
    seconds = 0.0
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(process.pid).cpu_times()
            seconds = times.user + times.system
        time.sleep(0.1)
    return seconds


if __name__ == "__main__":
    main()
