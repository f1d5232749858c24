"""How far long work is, on standard error: a bar on a terminal, a line now and then in logs and pipes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from facerec.core.settings import leads

T = TypeVar("T")

_FIRST, _MOST = 10.0, 300.0  # seconds before the first line of a log, and between two at the most


def speed(task: Task) -> float | None:
    """Items a second since the start, without those an earlier run had finished (the field `kept`)."""
    done = task.completed - task.fields.get("kept", 0)
    return done / task.elapsed if done > 0 and task.elapsed else None


class _Rate(ProgressColumn):
    """Items a second, in the unit of the task."""

    def render(self, task: Task) -> Text:
        return Text(_rate(task))


class _Left(ProgressColumn):
    """Time left, or how long it took."""

    def render(self, task: Task) -> Text:
        return Text(_left(task))


class _Lines(Progress):
    """A display for logs: a line after ten seconds, then ever more rarely, and one at the end."""

    def __init__(self, console: Console) -> None:
        super().__init__(console=console, disable=True)
        self._start = self._last = time.monotonic()
        self._said = False

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Count items as done."""
        super().advance(task_id, advance)
        self._tell()

    def update(self, task_id: TaskID, **values: Any) -> None:
        """Change a task, as in rich."""
        super().update(task_id, **values)
        self._tell()

    def stop(self) -> None:
        """End; work that had lines gets a last one."""
        super().stop()
        if self._said:
            self._say()
            self._said = False

    def _tell(self) -> None:
        now = time.monotonic()
        if self.finished:  # `stop` says so
            return
        if now - self._last >= min(_MOST, max(_FIRST, (now - self._start) / 5)):
            self._last, self._said = now, True
            self._say()

    def _say(self) -> None:
        for task in self.tasks:
            of = "" if task.total is None else f" of {task.total:,.0f}"
            facts = [f"{task.completed:,.0f}{of} {_unit(task)}", _rate(task), _left(task)]
            line = f"{task.description}: {', '.join(filter(None, facts))}"
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def bar() -> Progress:
    """A progress display; add tasks with `add_task(description, total=..., unit=...)`.

    What an earlier run finished is counted with `update(task, advance=n, kept=all such items)`, so that it
    does not pass for speed.
    """
    console = Console(stderr=True, quiet=not leads())
    if not console.is_terminal or console.quiet:
        return _Lines(console)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), _Left())
    return Progress(*columns, console=console)


def track(items: Iterable[T], description: str, total: int | None = None, unit: str = "items") -> Iterator[T]:
    """Yield `items` and show how many have passed, the rate and the time left."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bar() as progress:
        task = progress.add_task(description, total=total, unit=unit)
        for item in items:
            yield item
            progress.advance(task)


def _unit(task: Task) -> str:
    return str(task.fields.get("unit", "items"))


def _rate(task: Task) -> str:
    value = speed(task)
    return "" if value is None else f"{value:,.1f} {_unit(task)}/s"


def _left(task: Task) -> str:
    value = speed(task)
    if task.finished:
        return f"took {_duration(task.finished_time or 0)}"
    return "" if value is None or task.remaining is None else f"{_duration(task.remaining / value)} left"


def _duration(seconds: float) -> str:
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
