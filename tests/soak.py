"""An experiment with a fault in it, many times over, must end with the same bytes: `python -m tests.soak`.

First the experiment runs undisturbed. Every further run starts from a fresh clone without outputs and has one fault at
a random moment (`tests.faults`); then the same command runs again, as a person would type it. At the end dvc.lock and the
list of files must be those of the undisturbed run, `facerec verify-cache` must find every byte, and no scratch, lock or
temporary file and no process may be left. A run follows from the seed and its number, but for the speed of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

import yaml

from tests.conftest import ROOT
from tests.faults import FAULTS, Running, small_disk
from tests.pipeline.conftest import make_project, stage_environment

SMALL = {
    "render": {
        "synth_people": {"identities": 2, "photos": 17},  # more than one part of detections
        "synth_facescrub": {"identities": 2, "photos": 2},
        "synth_megaface": {"distractors": 3},
        "synth_pack": None,
        "synth_lfw": None,
    },
    "photos": {"synth_lfw": None},
    "packs": [],
    "benchmarks": {"synth_lfw": None, "synth_agedb": None, "synth_cfp": None},
    "train": {"epochs": 3, "batch": 8, "backbone": {"dim": 16, "width": 0.25}},
}
"""What the small experiment changes of the default one."""

_ATTEMPTS = 3  # of the command after the fault, with what its message asks for
_UNFINISHED = ("detect", "align", "train")  # stages that keep parts of unfinished work
_DVC_FILES = {"'./dvc.lock' validation failed": "dvc.lock", "Unable to read RWLock-file": ".dvc/tmp/rwlock"}
_GROWING = (".dvc/tmp", ".git", ".facerec/stages", "reports/provenance")  # what one run has and another need not


@dataclass(frozen=True)
class Undisturbed:
    """The run that all others are compared with.

    Attributes:
        lock: dvc.lock.
        files: all files that it left, but for those of `_GROWING`.
        temporary: what it left in the temporary folder.
        stages: each stage in order and how many seconds it took, with what DVC does after it.
    """

    lock: str
    files: list[str]
    temporary: list[str]
    stages: list[tuple[str, float]]

    @property
    def seconds(self) -> float:
        """How long it took."""
        return sum(seconds for _, seconds in self.stages)

    def moment(self, chance: Random, fault: str) -> tuple[str, float]:
        """A stage and seconds after its start: half of the draws are even over the time, half over the stages.

        Parts are looked for from the start of a stage on.
        """
        fit = [each for each in self.stages if fault != "parts" or each[0].startswith(_UNFINISHED)]
        weights = [seconds for _, seconds in fit] if chance.random() < 0.5 else None
        ((stage, seconds),) = chance.choices(fit, weights)
        return stage, 0.0 if fault == "parts" else chance.uniform(0, seconds)


class Soak:
    """The runs of one experiment below `folder`.

    Args:
        folder: for the clone, the undisturbed run and the run in work; kept to go on later.
        small: the default experiment with the changes of `SMALL`.
        targets: stages to run, by default all.
        code: where stages import it from, by default a copy, so that the checkout may be worked in meanwhile.
    """

    def __init__(self, folder: Path, small: bool, targets: tuple[str, ...] = (), code: Path | None = None) -> None:
        new = folder / "new"
        shutil.rmtree(new, ignore_errors=True)
        made = make_project(new, SMALL if small else {})
        tree = made.run("git", "rev-parse", "--short=12", "HEAD^{tree}").strip()
        self.folder = folder / tree
        self.source, self.root = self.folder / "source", self.folder / "disk/run"
        if not self.source.exists():
            self.folder.mkdir(exist_ok=True)
            new.rename(self.source)
        shutil.rmtree(new, ignore_errors=True)
        self.command = ("dvc", "repro", *targets)
        self.environment = {
            **stage_environment(),
            "PYTHONPATH": str(code or self.source),
            "PYTHONUNBUFFERED": "1",
            "FACEREC_CHECKPOINT_SECONDS": "1",
            "TMPDIR": str(self.folder / "disk/tmp"),
            "DVC_SITE_CACHE_DIR": str(self.folder / "disk/site"),
        }
        self.disk = small_disk(self.folder / "disk")
        self.running: Running | None = None

    def close(self) -> None:
        """End and remove the run in work; the undisturbed one is kept for the next time."""
        if self.running:
            self.running.signal_all(signal.SIGKILL)
        if self.disk:
            self.disk.unmount()
        shutil.rmtree(self.folder / "disk", ignore_errors=True)

    @cached_property
    def undisturbed(self) -> Undisturbed:
        """The undisturbed run, made once."""
        kept = self.folder / "undisturbed.json"
        if not kept.exists():
            running, stages, last = self.start(), [("", 0.0)], time.monotonic()
            while running.process.poll() is None:
                time.sleep(0.02)
                if started := running.stages[len(stages) - 1 :]:
                    now = time.monotonic()
                    stages[-1] = (stages[-1][0], now - last)
                    stages += [(name, 0.0) for name in started]
                    last = now
            stages[-1] = (stages[-1][0], time.monotonic() - last)
            assert running.process.returncode == 0, running.log.read_text()
            found = {"lock": self.lock(), "files": self.files(), "temporary": self.temporary(), "stages": stages[1:]}
            kept.write_text(json.dumps(found))
        told = json.loads(kept.read_text())
        return Undisturbed(**{**told, "stages": [(name, seconds) for name, seconds in told["stages"]]})

    def start(self, workers: int = 2) -> Running:
        """The command in a fresh clone without outputs."""
        for name in ("run", "tmp", "site"):
            shutil.rmtree(self.folder / "disk" / name, ignore_errors=True)
        (self.folder / "disk/tmp").mkdir(parents=True)
        shutil.copytree(self.source, self.root, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        return self._start("first", {**self.environment, "FACEREC_WORKERS": str(workers)})

    def _start(self, name: str, environment: dict[str, str]) -> Running:
        log = self.folder / f"{name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                self.command, cwd=self.root, env=environment, stdout=file, stderr=file, start_new_session=True
            )
        self.running = Running(process, self.root, log, self.disk)
        return self.running

    def run(self, number: int, seed: int, fault: str) -> tuple[str, list[str]]:
        """One run with a fault: what happened in a line, and what is wrong with how it ended."""
        chance, began = Random(f"{seed} {number}"), time.monotonic()
        stage, seconds = self.undisturbed.moment(chance, fault)
        running = self.start(workers=chance.choice((1, 2)))
        running.wait_for(stage, seconds)
        happened = FAULTS[fault](running, chance)
        wrong = [*_unexplained(running)]
        place = (running.stages or ["the start"])[-1] if happened else "no stage"
        again, environment = 0, dict(self.environment)
        while again < _ATTEMPTS and (again == 0 or running.process.returncode != 0):
            again += 1
            environment.update(self._advice(running.log.read_text(errors="replace")))
            running = self._start(f"again{again}", environment)
            running.process.wait()
            wrong += [*_unexplained(running)] if running.process.returncode else []
        wrong += [*self.differences(running)]
        times = "" if again == 1 else f", {again} times again"
        return f"{happened or 'too late'} in {place}{times}, {time.monotonic() - began:.0f} s", wrong

    def _advice(self, told: str) -> dict[str, str]:
        """Do what a message or docs/troubleshooting.md asks for; returns settings for the next command."""
        for sign, file in _DVC_FILES.items():
            if sign in told:
                (self.root / file).unlink(missing_ok=True)
        return {"FACEREC_WORKERS": "1"} if "FACEREC_WORKERS" in told else {}

    def lock(self) -> str:
        """dvc.lock of the run in work."""
        return (self.root / "dvc.lock").read_text()

    def files(self) -> list[str]:
        """All files of the run in work, but for those that differ between any two runs."""
        found = (Path(folder, name).relative_to(self.root) for folder, _, names in os.walk(self.root) for name in names)
        return sorted(str(path) for path in found if not str(path).startswith(_GROWING) and path.suffix != ".pyc")

    def temporary(self) -> list[str]:
        """What is in the temporary folder of the run in work."""
        return sorted(path.name for path in (self.folder / "disk/tmp").iterdir())

    def differences(self, running: Running) -> Iterator[str]:
        """What is not as after the undisturbed run."""
        if running.process.returncode:
            yield f"`{' '.join(self.command)}` still fails after {_ATTEMPTS} attempts:\n{running.log.read_text()}"
            return
        here, whole = (yaml.safe_load(lock)["stages"] for lock in (self.lock(), self.undisturbed.lock))
        for name in sorted(here.keys() | whole.keys()):
            if here.get(name) != whole.get(name):
                yield f"{name} has other bytes: {here.get(name)} instead of {whole.get(name)}"
        files, due = set(self.files()), set(self.undisturbed.files)
        yield from (f"left behind: {path}" for path in sorted(files - due))
        yield from (f"missing: {path}" for path in sorted(due - files))
        scratch = self.root / ".facerec/scratch"
        yield from (f"left behind: {path}" for path in scratch.glob("*") if path.name != "synthfaces")  # heads, kept
        temporary = sorted(set(self.temporary()) - set(self.undisturbed.temporary))
        yield from (f"left in the temporary folder: {name}" for name in temporary)
        yield from (f"still running: {told}" for told in _alive(self.root))
        checked = subprocess.run(
            ["facerec", "verify-cache"],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if checked.returncode:
            yield f"verify-cache: {checked.stdout}{checked.stderr}"


def _unexplained(running: Running) -> Iterator[str]:
    """A traceback, or a failure of a stage without a sentence."""
    told = running.log.read_text(errors="replace")
    if "Traceback (most recent call last)" in told:
        yield f"a traceback: {told[told.index('Traceback') :]}"
    if running.process.returncode > 0 and "error" not in told.lower():
        yield f"no reason given: {told[-2000:]}"


def _alive(root: Path) -> Iterator[str]:
    """Processes that work in the folder."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink().is_relative_to(root):
                yield (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue


def main() -> int:
    """Run as the command line asks; see --help."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("targets", nargs="*", help="stages to run, by default all")
    parser.add_argument("--runs", type=int, default=20, help="how many runs with a fault")
    parser.add_argument(
        "--first", type=int, default=1, help="number of the first, to go on where an earlier soak ended"
    )
    parser.add_argument("--seed", type=int, default=0, help="other moments")
    parser.add_argument("--small", action="store_true", help="an experiment of sixteen stages and 41 photos")
    parser.add_argument("--faults", nargs="*", choices=FAULTS, default=[*FAULTS], help="they take turns")
    parser.add_argument("--folder", type=Path, default=ROOT / ".facerec/soak", help="where to work")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options.folder.mkdir(parents=True, exist_ok=True)
    soak = Soak(options.folder.resolve(), options.small, tuple(options.targets))
    numbers = range(options.first, options.runs + 1)
    try:
        _introduce(soak, len(numbers), options.seed)
        failed = [number for number in numbers if not _passes(soak, number, options.seed, options.faults)]
    finally:
        soak.close()
    print(f"{len(numbers) - len(failed)} of {len(numbers)} runs ended with the bytes of the undisturbed one")
    return int(bool(failed))


def _introduce(soak: Soak, runs: int, seed: int) -> None:
    """Say what is going to happen and how long it may take."""
    disk = "a small tmpfs" if soak.disk else "a limit on the size of files, since this user may not mount one"
    print(f"{soak.folder}; a full disk is {disk}", flush=True)
    seconds = soak.undisturbed.seconds
    print(f"undisturbed: {len(soak.undisturbed.stages)} stages, {seconds:.0f} s")
    print(f"{runs} runs of seed {seed}, about {runs * seconds * 1.3 / 60:.0f} minutes", flush=True)


def _passes(soak: Soak, number: int, seed: int, faults: list[str]) -> bool:
    told, wrong = soak.run(number, seed, faults[(number - 1) % len(faults)])
    print(f"run {number:3}: {told}: {'WRONG' if wrong else 'equal'}", flush=True)
    for each in wrong:
        print(f"    {each}", flush=True)
    return not wrong


if __name__ == "__main__":
    sys.exit(main())
