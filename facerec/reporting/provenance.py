"""Where a report was made: the machine, the libraries, the revision of the code, and the time of each stage.

Two equal runs differ in nothing else, so it is no part of the page but a file beside it, provenance/KEY.js, which the
page shows where it has one. It names no host, user or path.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from facerec.core import describe_arithmetic, describe_device, device_type, torch_device, usable_cores, worker_count
from facerec.core.timing import StageRun, last_run
from facerec.reporting.formatting import UNKNOWN, Table, as_bytes, as_duration

LIBRARIES = [
    "anny",
    "dvc",
    "matplotlib",
    "mtcnn",
    "numba",
    "numpy",
    "onnx",
    "onnxruntime",
    "opencv-contrib-python-headless",
    "pandas",
    "pillow",
    "pyarrow",
    "retina-face",
    "timm",
    "torch",
    "torchvision",
]
"""Libraries whose version can change the bytes of an output."""

Runs = Mapping[str, Sequence[StageRun | None]]
"""Stage -> the last run on this machine of each of its instances; None for one from the cache."""


@dataclass(frozen=True)
class Provenance:
    """The last section of the page.

    Attributes:
        revision: commit of the code.
        machine: facts about it.
        libraries: name -> version.
        stages: their last runs.
    """

    revision: str
    machine: Mapping[str, str]
    libraries: Mapping[str, str]
    stages: Runs

    def script(self) -> str:
        """The tables as the JavaScript file that the page loads: one variable, set to JSON in ASCII."""
        tables = (self.facts_table(), self.libraries_table(), self.stages_table())
        return f"var facerecProvenance = {json.dumps([asdict(each) for each in tables], indent=1)};\n"

    def facts_table(self) -> Table:
        """Revision and machine."""
        return Table(("Made on", ""), tuple({"Revision of the code": self.revision, **self.machine}.items()))

    def libraries_table(self) -> Table:
        """Versions."""
        return Table(("Library", "Version"), tuple(self.libraries.items()))

    def stages_table(self) -> Table:
        """Times and memory, a row for each stage in the order of the graph."""
        rows = [(stage, *_times(runs)) for stage, runs in self.stages.items() if runs]
        every = [run for runs in self.stages.values() for run in runs]
        note = (
            "By the clock, when each last ran on this machine, without starting Python; memory is that of the largest "
            "process. What was never run here came from DVC's cache and has no time."
        )
        header = ("Stage", "Ran here", "Time", "Longest", "Memory", "Ended, UTC")
        return Table(header, (*rows, ("together", *_times(every))), note)


def gather_provenance(root: Path, stages: Mapping[str, Sequence[tuple[str, ...]]]) -> Provenance:
    """The provenance of a report made now, on this machine, with the checkout `root`.

    `stages` are those of the graph, each with the name and key of its instances.
    """
    runs = {stage: [last_run(*name) for name in names] for stage, names in stages.items()}
    return Provenance(describe_revision(root), describe_machine(), library_versions(), runs)


def describe_revision(root: Path) -> str:
    """The commit of the checkout `root`, and whether files differ from it, except those a run writes."""
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changes = _git(root, "status", "--porcelain", "--", ".", ":!dvc.lock", ":!reports")
    except (OSError, subprocess.CalledProcessError):
        return "unknown: this is no git checkout"
    return f"{commit} and uncommitted changes" if changes else commit


def describe_machine() -> dict[str, str]:
    """Facts about this machine that can affect results or speed."""
    device = device_type()
    return {
        "Report made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "facerec": _version("facerec"),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "System": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "Processor": _processor(),
        "Cores": f"{usable_cores()} usable of {os.cpu_count()}",
        "Device": device if device == "cpu" else describe_device(torch_device()),
        "Arithmetic": describe_arithmetic(device),
        "Worker processes": str(worker_count()),
    }


def library_versions() -> dict[str, str]:
    """Versions of `LIBRARIES` as installed here."""
    return {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _git(root: Path, *words: str) -> str:
    command = ["git", "--no-optional-locks", *words]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def _processor() -> str:
    """Name of the processor."""
    with suppress(OSError):
        names = re.search(r"^model name\s*:(.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
        if names:
            return names[1].strip()
    return platform.processor() or platform.machine()


def _times(runs: Sequence[StageRun | None]) -> tuple[str, str, str, str, str]:
    ran = [run for run in runs if run is not None]
    if not ran:
        return "from the cache", UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN
    seconds = [run.seconds for run in ran]
    memory = as_bytes(max(run.peak_bytes for run in ran))
    here = "yes" if len(runs) == len(ran) == 1 else f"{len(ran)} of {len(runs)}"
    ended = max(run.finished for run in ran)[:16].replace("T", " ")
    return here, as_duration(sum(seconds)), as_duration(max(seconds)), memory, ended
