"""Worker processes end with their parent, and long work says how far it is."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from facerec.core import executor, progress

ROOT = Path(__file__).parent.parent
SLEEPERS = """
import os, sys, time
from facerec.core.executor import map_ordered

def sleep(seconds):
    os.write(1, b"%d\\n" % os.getpid())  # at once: print writes number and newline apart if unbuffered
    time.sleep(seconds)

if __name__ == "__main__":
    list(map_ordered(sleep, [60.0, 60.0], 2))
"""


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="asks /proc which processes live")
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(tmp_path: Path, sign: signal.Signals) -> None:
    script = tmp_path / "sleepers.py"
    script.write_text(SLEEPERS)
    parent = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    assert all(map(alive, workers))
    os.kill(parent.pid, sign)
    parent.stdout.close()
    assert parent.wait(20) != 0
    deadline = time.monotonic() + 20
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, workers))


def test_a_worker_interrupted_while_it_starts_does_not_notice(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "if '--multiprocessing-fork' in sys.orig_argv:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('interrupted', flush=True)\n"
    )
    script = tmp_path / "adding.py"
    script.write_text(
        "from facerec.core.executor import map_ordered\n"
        "from tests.test_execution import add_half\n"
        "if __name__ == '__main__':\n"
        "    print(list(map_ordered(add_half, [1, 2, 3], 2)))\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, cwd=ROOT, check=False,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.stdout.count("interrupted") == 2, done.stdout
    assert done.stderr == ""
    assert "[1.5, 2.5, 3.5]" in done.stdout


def add_half(value: int) -> float:
    return value + 0.5


@pytest.mark.parametrize("workers", [1, 2])
def test_a_consumer_may_stop_early(workers: int) -> None:
    results = executor.map_ordered(add_half, range(100), workers)
    assert next(results) == 0.5
    results.close()  # type: ignore[attr-defined]


class Clock:
    """Time that passes only when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def logged(clock: Clock, capsys: pytest.CaptureFixture[str], steps: int, seconds: float, kept: int = 0) -> str:
    with progress._Lines(Console(stderr=True, width=40)) as lines:
        lines.get_time = lambda: clock.now
        task = lines.add_task("Detecting faces", total=steps * 100, completed=kept * 100, unit="photos")
        for _ in range(kept, steps):
            clock.now += seconds
            lines.update(task, advance=100)
    return capsys.readouterr().err


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = logged(Clock(monkeypatch), capsys, 600, 10).splitlines()
    assert lines[0] == "Detecting faces: 100/60000"
    assert lines[1] == "Detecting faces: 200/60000, 10.0 photos/s, 1:39:40 left"
    assert lines[-1] == "Detecting faces: 60000/60000, 10.0 photos/s, took 1:40:00"
    assert 20 < len(lines) < 45


def test_short_work_says_nothing_in_a_log(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert logged(Clock(monkeypatch), capsys, 9, 1) == ""


def test_what_an_earlier_run_finished_is_not_speed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    second = logged(Clock(monkeypatch), capsys, 10, 50, kept=7).splitlines()[1]
    assert second == "Detecting faces: 900/1000, 2.0 photos/s, 0:00:50 left"


def test_a_terminal_gets_a_bar_with_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(force_terminal=True, file=io.StringIO())
    monkeypatch.setattr(progress, "terminal", lambda **_: terminal)
    shown = progress.bar()
    now = [0.0]
    shown.get_time = lambda: now[0]
    task = shown.add_task("Detecting faces", total=1000, unit="photos")
    for now[0] in (10.0, 20.0):
        shown.update(task, advance=200)
    console = Console(width=120)
    with console.capture() as capture:
        console.print(shown.make_tasks_table(shown.tasks))
    text = capture.get()
    assert "400/1000" in text
    assert "20.0 photos/s" in text
    assert "0:00:30" in text


@pytest.mark.parametrize("workers", [1, 2])
def test_no_work_prepares_nothing(workers: int) -> None:
    assert list(executor.map_ordered(add_half, [], workers, os.abort)) == []
