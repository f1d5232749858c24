"""What the tests share: the root of the repository and the folder of real data, where there is one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from facerec import use_portable_arithmetic
from facerec.core import collect_rarely

use_portable_arithmetic()  # before a test imports numpy or torch
collect_rarely()

ROOT = Path(__file__).resolve().parent.parent
PIPELINE = "tests/pipeline/"


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, with which make test runs
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Test files go to the processes one by one; all of tests/pipeline, which share a finished experiment, to one."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return PIPELINE if nodeid.startswith(PIPELINE) else super()._split_scope(nodeid)

    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def same_weights() -> None:
    """What a test initialises at random is the same in every run, as torch seeds each process by chance."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="module")
def small_network() -> Iterator[None]:
    """`mobilefacenet` is a network of eight tensors, for tests of training whichever the network."""
    from facerec import backbones
    from tests.models import Small

    with mock.patch.dict(backbones.BACKBONES, mobilefacenet=Small):
        yield


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder of real data and weights; tests that need it skip without it."""
    folder = os.environ.get("FACEREC_MIRROR")
    if not folder:
        pytest.skip("FACEREC_MIRROR is not set: no real photos or weights here")
    return Path(folder)
