"""The fuzzer's command: a table of targets, then how to have every failure again; status 1 if there is one."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from pathlib import Path

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_IO_THREADS"):
    os.environ[_threads] = "1"  # before the libraries start: children are forked, threads are not
os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # the others reserve more addresses than a child may have

import cv2  # noqa: E402
import pyarrow as pa  # noqa: E402
import torch._dynamo  # noqa: E402, F401, else a reader would import it, and that makes a folder

from tests.fuzzing import runner  # noqa: E402
from tests.fuzzing.targets import TARGETS  # noqa: E402

INPUTS = 100_000


def main() -> int:
    """Fuzz the targets asked for; see --help."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    names = [target.name for target in TARGETS]
    parser.add_argument("--inputs", type=int, default=INPUTS, help="how many, shared by the targets")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other inputs")
    parser.add_argument("--only", choices=names, help="one target")
    parser.add_argument("--number", type=int, help="this one input of --only and --seed")
    parser.add_argument("--out", type=Path, default=Path(".facerec/fuzz"), help="where failing inputs are kept")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    chosen = [target for target in TARGETS if options.only in (None, target.name)]
    one = options.inputs / sum(target.share for target in chosen)
    numbers = [range(math.ceil(one * target.share)) for target in chosen]
    if options.number is not None:
        numbers = [range(options.number, options.number + 1)] * len(chosen)
    return report(chosen, numbers, options.seed, options.out)


def report(chosen: list[runner.Target], numbers: list[range], seed: int, out: Path) -> int:
    """Fuzz and print; returns the exit status."""
    print(f"{'target':12} {'inputs':>9} {'read':>9} {'refused':>9} {'inputs/s':>9}  failures")
    total, failed, started = 0, False, time.perf_counter()
    for target, share in zip(chosen, numbers, strict=True):
        result = runner.fuzz(target, share, seed, out)
        total += result.inputs
        rate = result.inputs / result.seconds
        counts = f"{result.inputs:9,} {result.taken:9,} {result.inputs - result.taken:9,} {rate:9,.0f}"
        print(f"{target.name:12} {counts}  {len(result.failures)}", flush=True)
        for number, reason in result.failures.items():
            failed = True
            print(f"  {out}/{target.name}-{seed}-{number}: {reason.strip().splitlines()[-1]}")
            print(f"  again: python -m tests.fuzzing --only {target.name} --seed {seed} --number {number}")
    seconds = time.perf_counter() - started
    print(f"{total:,} inputs of seed {seed} in {seconds:.0f} s ({total / seconds:,.0f}/s)")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
