"""Feeds mutated inputs to a reader in a child process; what kills the child is a failure with a number.

An input follows from (target, seed, number) alone, so every failure can be had again.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NoReturn

from tests.fuzzing import guard
from tests.fuzzing.mutations import mutate
from tests.fuzzing.targets import Files, Target

MOST_FAILURES = 10
"""Failures of one target after which it is left."""


@dataclass
class Result:
    """How the inputs of one target went."""

    inputs: int = 0
    taken: int = 0
    """Inputs that were still readable; the others were refused with a FacerecError."""
    seconds: float = 0
    failures: dict[int, str] = field(default_factory=dict)
    """What is wrong, by the number of the input."""


def make_input(target: Target, valid: list[Files], seed: int, number: int) -> Files:
    """Input `number` of a seed: one of the valid inputs with one file spoiled; the first are not spoiled."""
    if number < len(valid):
        return valid[number]
    rng = Random(f"{target.name} {seed} {number}")
    files = dict(rng.choice(valid))
    if target.spoil and rng.random() < 0.67:
        return target.spoil(files, rng)
    name = rng.choice(sorted(files))
    if len(files) > 1 and rng.random() < 0.02:
        del files[name]
        return files
    inside, wrap = target.layers.get(Path(name).suffix, (None, None)) if rng.random() < 0.7 else (None, None)
    data = inside(files[name]) if inside else files[name]
    spoiled = mutate(data, rng, target.tokens)
    files[name] = wrap(spoiled) if wrap else spoiled
    return files


def fuzz(target: Target, numbers: range, seed: int, out: Path) -> Result:
    """Read the inputs `numbers` of `target`; failing ones are saved in `out`."""
    valid, result, started = target.valid(), Result(), time.perf_counter()
    while numbers and len(result.failures) < MOST_FAILURES:
        with tempfile.TemporaryDirectory() as scratch:
            last = _run_child(target, valid, numbers, seed, Path(scratch), result)
        numbers = range(last + 1, numbers.stop)
    result.seconds = time.perf_counter() - started
    for number, reason in result.failures.items():
        _save(make_input(target, valid, seed, number), reason, out / f"{target.name}-{seed}-{number}")
    return result


def _run_child(target: Target, valid: list[Files], numbers: range, seed: int, scratch: Path, result: Result) -> int:
    """Run inputs in a child until it ends or dies; returns the number of its last input."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _work(target, valid, numbers, seed, scratch)
    _, status = os.waitpid(child, 0)
    last = numbers.start
    for line in (scratch / "log").read_text(encoding="utf-8").splitlines():
        word, _, wrong = line.partition("\t")
        if word.isdigit():
            last = int(word)
            result.inputs += 1
        elif word == "taken":
            result.taken += 1
        elif word == "wrong":
            result.failures[last] = wrong.encode().decode("unicode_escape")
    if status:
        result.failures[last] = _death(status, scratch)
    if stray := {place.name for place in scratch.iterdir()} - {"box", "log", "errors"}:
        result.failures[last] = f"this input or one before it wrote {sorted(stray)} outside its folder"
    return last


def _work(target: Target, valid: list[Files], numbers: range, seed: int, scratch: Path) -> NoReturn:
    """Judge one input after the other; whatever happens, never return into the parent's code."""
    status = 1
    try:
        box = scratch / "box"
        box.mkdir()
        log = (scratch / "log").open("wb", buffering=0)
        os.dup2(os.open(scratch / "errors", os.O_WRONLY | os.O_CREAT), 2)
        judge = guard.Guard(box, target.memory).judge
        for number in numbers:
            log.write(b"%d\n" % number)
            _lay(make_input(target, valid, seed, number), box)
            taken, wrong = judge(lambda: target.read(box))
            log.write(b"taken\n" if taken else b"")
            if wrong:
                log.write(b"wrong\t" + wrong.encode("unicode_escape") + b"\n")
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _lay(files: Files, box: Path) -> None:
    """Put the files of an input into `box`; those of the input before are removed, never written over."""
    for place in box.rglob("*"):
        if not place.is_dir():
            place.unlink()
    for name, data in files.items():
        (box / name).parent.mkdir(parents=True, exist_ok=True)
        (box / name).write_bytes(data)


def _death(status: int, scratch: Path) -> str:
    """Why a child ended with `status`."""
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGPROF:
        return f"it computed for more than {guard.SECONDS:.0f} seconds"
    if code == -signal.SIGALRM:
        return f"it waited for more than {guard.PATIENCE:.0f} seconds"
    if code < 0:
        return f"it crashed: {signal.Signals(-code).name}"
    return f"the fuzzer itself failed: {(scratch / 'errors').read_text(errors='replace')[-2000:]}"


def _save(files: Files, reason: str, folder: Path) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "REASON.txt").write_text(reason, encoding="utf-8")
