"""Timing of several implementations side by side: CPU seconds of interleaved rounds in one process, and their ratios.

CPU time, since wall time on a shared machine measures the neighbours; all threads of the process count. Each round runs
every side in turn and gives one ratio, so a slow minute slows both sides of it; the median is given with the smallest
and the largest. Scripts check that both sides agree before they call this.

`make bench` sets BENCH_ROWS to a file, to which `report` and `absent` add a line of JSON; see bench/run.py.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NoReturn


def cpu_of_children() -> float:
    """CPU seconds of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True)
class Rounds:
    """CPU seconds of every side in every round: name -> (rounds,)."""

    seconds: dict[str, list[float]]

    def __getitem__(self, side: str) -> float:
        """Median CPU seconds of a side."""
        return median(self.seconds[side])

    def ratios(self, over: str, under: str) -> list[float]:
        """CPU seconds of `over` divided by those of `under`, round by round, ascending."""
        return sorted(a / b for a, b in zip(self.seconds[over], self.seconds[under], strict=True))


def side_by_side(sides: Mapping[str, Callable[[], object]], repeats: int = 7) -> Rounds:
    """CPU seconds of every implementation; each round runs all in turn, after one warm-up round."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    gc.disable()
    try:
        for repeat in range(repeats + 1):
            for name, side in sides.items():
                start = time.process_time()
                side()
                if repeat:
                    seconds[name].append(time.process_time() - start)
            gc.collect()
    finally:
        gc.enable()
    return Rounds(seconds)


def print_row(what: str, ours: float, peer: float, items: int, aim: float | None = None) -> None:
    """Print a line of a table: both rates in items a CPU second, their ratio and the aim."""
    wanted = "" if aim is None else f"   (aim {aim:.3g})"
    print(f"{what:36} {items / ours:12,.0f}/s {items / peer:12,.0f}/s   x {peer / ours:5.2f}{wanted}")


def print_head(what: str, ours: str, peer: str) -> None:
    """Print the header of a table of `print_row` lines."""
    print(f"{what:36} {ours:>14} {peer:>14}   ratio")


def report(what: str, against: str, ratios: list[float], meaning: str = "times as fast", aim: str = "") -> None:
    """Print a ratio with its spread over the rounds, and record it for reports/bench.json.

    Args:
        what: what was measured, with its size.
        against: the other side.
        ratios: of the rounds, ascending.
        meaning: what the ratio says of us.
        aim: what it should be, if anything.
    """
    middle, low, high = median(ratios), ratios[0], ratios[-1]
    wanted = f"; aim {aim}" if aim else ""
    print(f"{what} against {against}: {middle:.3g} {meaning} ({low:.3g} to {high:.3g} in {len(ratios)} rounds{wanted})")
    row = {"what": what, "against": against, "meaning": meaning, "aim": aim, "rounds": len(ratios)}
    _record({**row, "ratio": _short(middle), "low": _short(low), "high": _short(high)})


def absent(reason: str) -> NoReturn:
    """End the script with the reason why there is nothing to compare, which is recorded too."""
    print(reason)
    _record({"absent": reason})
    sys.exit(0)


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _record(row: Mapping[str, Any]) -> None:
    file = os.environ.get("BENCH_ROWS")
    if file:
        with Path(file).open("a", encoding="utf-8") as rows:
            rows.write(json.dumps(row) + "\n")
