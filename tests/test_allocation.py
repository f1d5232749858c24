"""Memory that is freed and needed again is not returned to the system in between."""

from __future__ import annotations

import resource
import sys

import pytest

from facerec.core import reused_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have another C library")


def faults() -> int:
    """Pages that the system clears while four blocks of 24 MB, 6,144 pages, are filled and freed, three times."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        assert len([b"1" * (24 << 20) for _ in range(4)]) == 4
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_pages_are_cleared_once_also_after_an_inner_block_has_ended() -> None:
    with reused_memory():
        with reused_memory():
            faults()
        assert faults() < 4 * 6144
