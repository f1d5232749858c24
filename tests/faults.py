"""Faults in a running `dvc repro`: kill -9, a full disk, spoiled parts of unfinished work.

Each fault gets a `Running` and returns what it did in words, or "" where there was nothing left to hit.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

_STAGE = re.compile(r"Running stage '([^']+)'")
_LOG = 64 << 10  # bytes of what a command prints, which no limit on the size of files should hit
_SCRATCH = (".part", ".pt")


@dataclass
class Running:
    """A `dvc repro` in a session of its own, and the folder it works in.

    Attributes:
        process: the command.
        root: the working copy.
        log: what it prints.
        disk: the small file system that `root` is on; None where tests may not mount one.
    """

    process: subprocess.Popen[bytes]
    root: Path
    log: Path
    disk: Disk | None

    @property
    def stages(self) -> list[str]:
        """The stages it has started so far."""
        return _STAGE.findall(self.log.read_text(errors="replace"))

    def wait_for(self, stage: str, seconds: float) -> bool:
        """Wait until so long after the start of a stage; whether the command still runs then."""
        while self.process.poll() is None and stage not in self.stages:
            time.sleep(0.02)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.poll() is None

    def signal_all(self, number: int) -> None:
        """Send a signal to the command and all it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def workers(self) -> list[int]:
        """Processes that no other process of the command has started anything in: those that do the work.

        Python's tracker of semaphores, which has next to no memory to be killed for, does none: the one after it prints
        tracebacks of its own about names that it does not know, and the run goes on.
        """
        inside = dict(processes(self.process.pid))
        leaves = inside.keys() - set(inside.values()) - {self.process.pid}
        return sorted(number for number in leaves if not _tracks_semaphores(number))


def processes(session: int) -> Iterator[tuple[int, int]]:
    """The processes of a session, each with its parent."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = entry.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                yield int(entry.parent.name), int(fields[1])


def _tracks_semaphores(number: int) -> bool:
    """Whether the process is multiprocessing's resource tracker."""
    with suppress(OSError):
        return b"resource_tracker" in Path(f"/proc/{number}/cmdline").read_bytes()
    return False


class Disk:
    """A small file system in memory, mounted on a folder, that can be full."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8g", "soak", folder], check=True, capture_output=True)

    def fill(self, room: int) -> None:
        """Leave so many bytes of room."""
        for _ in range(100):
            found = os.statvfs(self.folder)
            used = (found.f_blocks - found.f_bfree) * found.f_frsize
            with suppress(subprocess.CalledProcessError):  # more was written meanwhile
                return self._remount(f"{(used + room) >> 10}k")
        raise TimeoutError(f"{self.folder} cannot be made small")

    def free(self) -> None:
        """Have room again."""
        self._remount("8g")

    def _remount(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", self.folder], check=True, capture_output=True)

    def unmount(self) -> None:
        """Remove it with all that is in it."""
        subprocess.run(["umount", "--lazy", self.folder], check=True)


def small_disk(folder: Path) -> Disk | None:
    """A small file system on the folder; None where this user may not mount one."""
    try:
        return Disk(folder)
    except (OSError, subprocess.CalledProcessError):
        return None


def kill_all(running: Running, chance: Random) -> str:
    """kill -9 of the whole process group, as when the machine goes down."""
    running.signal_all(signal.SIGKILL)
    running.process.wait()
    return "kill -9 of all"


def kill_worker(running: Running, chance: Random) -> str:
    """kill -9 of one process that does the work, as the kernel does where memory lacks."""
    while running.process.poll() is None:
        if workers := running.workers():
            with suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)
                running.process.wait()
                return "kill -9 of a worker"
        time.sleep(0.02)
    return ""


def full_disk(running: Running, chance: Random) -> str:
    """A disk with little or no room until the command ends."""
    room = chance.choice((0, 0, 8 << 10, 256 << 10))
    if running.disk is None:
        room = max(room, _LOG)
        for process, _ in [*processes(running.process.pid)]:
            with suppress(ProcessLookupError):
                resource.prlimit(process, resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        running.process.wait()
        return f"files of at most {room >> 10} kB"
    running.disk.fill(room)
    running.process.wait()
    running.disk.free()
    return f"disk with {room >> 10} kB of room"


def spoil_parts(running: Running, chance: Random) -> str:
    """kill -9 soon after there is unfinished work in the scratch folder, then damage to some of its files."""
    pause = chance.choice((0.0, chance.uniform(0, 0.3)))
    while running.process.poll() is None:
        if scratch_files(running.root):
            time.sleep(pause)
            running.signal_all(signal.SIGSTOP)
            if files := scratch_files(running.root):
                kill_all(running, chance)
                return f"kill -9, {_spoil(files, chance)}"
            running.signal_all(signal.SIGCONT)
        time.sleep(0.002)
    return ""


def scratch_files(root: Path) -> list[Path]:
    """Parts and checkpoints of unfinished work."""
    found = (Path(folder) / name for folder, _, names in os.walk(root / ".facerec/scratch") for name in names)
    return sorted(path for path in found if path.suffix in _SCRATCH)


def _spoil(files: list[Path], chance: Random) -> str:
    """Damage at least one of the files, each in a way of its own."""
    chosen = chance.sample(files, chance.randint(1, len(files)))
    for path in chosen:
        data = bytearray(path.read_bytes())
        how = chance.randrange(4)
        if how == 0:
            data = data[: chance.randrange(len(data))]
        elif how == 1:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        elif how == 2:
            data += chance.randbytes(100)
        else:
            data = bytearray(chance.randbytes(len(data)))
        path.write_bytes(data)
    return f"{len(chosen)} of {len(files)} parts spoiled"


FAULTS: dict[str, Callable[[Running, Random], str]] = {
    "kill": kill_all,
    "worker": kill_worker,
    "disk": full_disk,
    "parts": spoil_parts,
}
