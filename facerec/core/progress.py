"""What a person sees on standard error: tables, and the progress of long work.

Progress is a bar on a terminal, a line now and then in logs and pipes.

for photo in track(photos, "Reading", unit="photos"):
    ...
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TimeRemainingColumn
from rich.text import Text

from facerec.core.errors import shown, visible
from facerec.core.settings import leads

T = TypeVar("T")

_FIRST, _MOST = 10.0, 300.0  # seconds before the first line of a log, and between two at the most
_AVERAGED = 3600.0  # seconds over which the speed is averaged


class _Terminal(Console):
    """Prints text as it is: without markup and emoji, characters that control a terminal made visible."""

    def render_str(self, text: str, **options: Any) -> Text:
        """The text of a cell, a title or a line."""
        return super().render_str(visible(text), **options)


def terminal(quiet: bool = False) -> Console:
    """The console for tables and lines on standard error. Give it text as str, which is printed as it is."""
    return _Terminal(stderr=True, quiet=quiet, markup=False, emoji=False)


def say(line: str) -> None:
    """Print a line on standard error that no terminal wraps within a word."""
    terminal().print(line, highlight=False, soft_wrap=True)


class _Description(ProgressColumn):
    """What is done, which may name a foreign file."""

    def render(self, task: Task) -> Text:
        return Text(shown(task.description, 60))


class _Rate(ProgressColumn):
    """Items a second, in the unit of the task."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f} {task.fields.get('unit', 'items')}/s")


_WHAT, _COUNT, _RATE = _Description(), MofNCompleteColumn(), _Rate()
_TIME = TimeRemainingColumn(elapsed_when_finished=True)


class _Lines(Progress):
    """A display for logs: a line after ten seconds, then less and less often, and one at the end."""

    def __init__(self, console: Console) -> None:
        super().__init__(console=console, disable=True, speed_estimate_period=_AVERAGED)
        self._start = self._last = time.monotonic()
        self._began = False

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Count items as done."""
        super().advance(task_id, advance)
        self._write_when_due()

    def update(self, task_id: TaskID, **values: Any) -> None:
        """Change a task, as in rich."""
        super().update(task_id, **values)
        self._write_when_due()

    def stop(self) -> None:
        """End; work that had lines gets a last one."""
        super().stop()
        if self._began:
            self._write()
            self._began = False

    def _write_when_due(self) -> None:
        now = time.monotonic()
        if self.finished:  # `stop` writes that
            return
        if now - self._last >= min(_MOST, max(_FIRST, (now - self._start) / 5)):
            self._last, self._began = now, True
            self._write()

    def _write(self) -> None:
        for task in self.tasks:
            count, rate, duration = (column.render(task).plain.strip() for column in (_COUNT, _RATE, _TIME))
            ending = f"took {duration}" if task.finished else f"{duration} left" if task.time_remaining else ""
            line = f"{_WHAT.render(task).plain}: {', '.join(filter(None, [count, rate, ending]))}"
            self.console.print(line, highlight=False, soft_wrap=True)


def bar() -> Progress:
    """A progress display; add tasks with `add_task(description, total=..., unit=...)`.

    Give what an earlier run finished as `completed` of `add_task`, so that it does not count as speed.
    """
    console = terminal(quiet=not leads())
    if not console.is_terminal or console.quiet:
        return _Lines(console)
    return Progress(_WHAT, BarColumn(), _COUNT, _RATE, _TIME, console=console, speed_estimate_period=_AVERAGED)


def track(items: Iterable[T], description: str, total: int | None = None, unit: str = "items") -> Iterator[T]:
    """Yield `items` and show how many have passed, the rate and the time left."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bar() as progress:
        task = progress.add_task(description, total=total, unit=unit)
        for item in items:
            yield item
            progress.advance(task)
