"""Timing of several implementations side by side: medians of interleaved repeats in one process."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from statistics import median


def side_by_side(sides: Mapping[str, Callable[[], object]], repeats: int = 7) -> dict[str, float]:
    """Median seconds of every implementation; each repeat runs all in turn, after one warm-up round."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    gc.disable()
    try:
        for repeat in range(repeats + 1):
            for name, side in sides.items():
                start = time.perf_counter()
                side()
                if repeat:
                    seconds[name].append(time.perf_counter() - start)
            gc.collect()
    finally:
        gc.enable()
    return {name: median(times) for name, times in seconds.items()}


def print_row(what: str, ours: float, peer: float, items: int, aim: float | None = None) -> None:
    """Print a line of a table: both rates in items a second, their ratio and the aim."""
    wanted = "" if aim is None else f"   (aim {aim:.3g})"
    print(f"{what:36} {items / ours:12,.0f}/s {items / peer:12,.0f}/s   x {peer / ours:5.2f}{wanted}")


def print_head(what: str, ours: str, peer: str) -> None:
    """Print the header of a table of `print_row` lines."""
    print(f"{what:36} {ours:>14} {peer:>14}   ratio")
