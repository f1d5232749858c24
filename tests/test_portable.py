"""The same bits on every x86-64 processor and with any number of cores, natively and under emulated processors.

The slow tests run each library (tests/arithmetic.py) and every stage of a small world (tests/small_world.py) here and
as an Intel processor without AVX-512 and an AMD one would. They need qemu-user, and skip where it is not installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from facerec.core import PORTABLE, describe_arithmetic, portable
from tests import small_world
from tests.conftest import ROOT
from tests.emulation import PROCESSORS, QEMU, emulated

OUTPUTS = (
    "data/raw",
    "data/detections",
    "data/faces",
    "data/embeddings",
    "data/scores",
    "data/megaface",
    "models",
    "reports",
)
SETTINGS = [name for name in portable.VARIABLES if name not in ("OPENCV_LOG_LEVEL", "OMP_WAIT_POLICY")]
"""Those that change bits."""

pytestmark = pytest.mark.skipif(
    describe_arithmetic() != PORTABLE, reason=f"portable bits are not promised on {describe_arithmetic()}"
)


def python(*arguments: str, processor: str = "", cores: int = 2, folder: Path = ROOT, **environment: str) -> str:
    """Standard output of Python with `cores` visible cores, on this or an emulated processor.

    Of the settings of portable arithmetic, the process gets none; numbers of threads are those a user might have set.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in portable.VARIABLES}
    threads = {name: str(cores) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "FACEREC_WORKERS")}
    usable = sorted(os.sched_getaffinity(0))[:cores]
    done = subprocess.run(
        [*([str(QEMU), "-cpu", processor] if processor else []), sys.executable, *arguments],
        cwd=folder,
        env={**inherited, **threads, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=3000,
        preexec_fn=lambda: os.sched_setaffinity(0, usable),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every output of a run, by its path; where and when the page was made is none."""
    files = [path for part in OUTPUTS for path in sorted((folder / part).rglob("*")) if path.is_file()]
    files = [path for path in files if path.parent.name != "provenance"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def run_world(folder: Path, processor: str = "", cores: int = 2) -> dict[str, str]:
    """Run every stage of the small world in `folder` and return the digests of all outputs."""
    small_world.prepare(folder)
    # The emulator is spared compiling numba's loops; here they are compiled for this very processor.
    target = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""} if processor else {}
    python("-m", "tests.small_world", folder=folder, processor=processor, cores=cores, **target)
    return digests(folder)


def different(first: dict[str, str], second: dict[str, str]) -> list[str]:
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def test_settings_come_before_numpy() -> None:
    program = "import facerec, os; facerec.use_portable_arithmetic(); import numpy; print(os.environ['MKL_CBWR'])"
    assert python("-W", "error", "-c", program) == "COMPATIBLE\n"


def test_a_late_call_warns_and_does_not_claim_portable_bits() -> None:
    program = """
import warnings, numpy, facerec
from facerec.core import describe_arithmetic
with warnings.catch_warnings(record=True) as caught:
    facerec.use_portable_arithmetic()
print(caught[0].message)
print(describe_arithmetic())
"""
    message, kind = python("-c", program).splitlines()
    assert message.startswith("numpy came before facerec.use_portable_arithmetic(), so results may differ")
    assert kind == "x86-64 with portable arithmetic turned on too late"


def test_a_machine_setting_turns_it_off() -> None:
    program = "import stages; from facerec.core import describe_arithmetic; print(describe_arithmetic())"
    assert python("-c", program) == f"{PORTABLE}\n"
    assert python("-c", program, FACEREC_PORTABLE="no") == "x86-64 with portable arithmetic turned off\n"


@pytest.mark.parametrize("program", ["from facerec.cli import main; main()", "import stages"])
def test_a_wrong_setting_is_one_sentence(program: str) -> None:
    environment = {**os.environ, "FACEREC_PORTABLE": "maybe", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: FACEREC_PORTABLE must be yes or no, not 'maybe'.\n"


@pytest.fixture(scope="module")
def here() -> dict[str, str]:
    """What each library computes on this processor, with two cores."""
    return compute("-m", "tests.arithmetic")


def compute(*arguments: str, **how: Any) -> dict[str, str]:
    found: dict[str, str] = json.loads(python(*arguments, **how))
    return found


@pytest.mark.slow
def test_cores_change_no_library(here: dict[str, str]) -> None:
    assert [different(here, compute("-m", "tests.arithmetic", cores=cores)) for cores in (1, 4)] == [[], []]


@pytest.mark.slow
@pytest.mark.skipif("avx512bw" not in Path("/proc/cpuinfo").read_text(), reason="this processor has no AVX-512")
@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_is_needed(setting: str, here: dict[str, str]) -> None:
    program = f"from facerec.core import portable; del portable.VARIABLES[{setting!r}]; from tests import arithmetic; arithmetic.main()"
    assert different(here, compute("-c", program))


@emulated
@pytest.mark.slow
@pytest.mark.parametrize("processor", PROCESSORS.values(), ids=PROCESSORS.keys())
def test_every_library_is_the_same_on_another_processor(processor: str, here: dict[str, str]) -> None:
    assert different(here, compute("-m", "tests.arithmetic", processor=processor)) == []


@pytest.mark.slow
def test_every_stage_is_the_same_with_other_cores_and_processors(tmp_path: Path) -> None:
    runs = {f"{cores} cores": {"cores": cores} for cores in (1, 4)}
    if QEMU is not None:
        runs |= {name: {"processor": processor} for name, processor in PROCESSORS.items()}
    with ThreadPoolExecutor(2) as pool:
        done = {name: pool.submit(run_world, tmp_path / name, **how) for name, how in runs.items()}
    found = {name: each.result() for name, each in done.items()}
    first = found.pop("1 cores")
    assert len(first) > 80
    assert {name: different(first, other) for name, other in found.items()} == {name: [] for name in found}
