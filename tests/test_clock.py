"""A clock that is wrong, or is put right while we work, loses nothing and stops nothing."""

from __future__ import annotations

import os
import time
from datetime import datetime, tzinfo
from pathlib import Path
from random import Random

import pytest

from facerec.catalog import http
from facerec.core import bar
from facerec.training.checkpoints import Checkpoints
from tests.conftest import ROOT
from tests.test_acquire_faults import get
from tests.test_acquire_http import BODY, server  # noqa: F401  the fixture
from tests.test_scratch import calls, interrupted, place, run  # noqa: F401  the fixture

YEARS = 50 * 365 * 86_400.0
READERS = {
    "facerec/catalog/http.py": "the date of Retry-After, and it waits a minute at most",
    "facerec/core/console.py": "a field of torchrun's error file, for people",
    "facerec/core/defects.py": "the name of a file of details, for people",
    "facerec/core/digests.py": "whether a file may still be written; an earlier or later clock only means reading it again",
    "facerec/core/resumable.py": "the age of parts that another run left",
    "facerec/core/timing.py": "when a stage ended, for people",
    "facerec/reporting/provenance.py": "when the page was made, for people",
}
"""Files that read the clock of the day, and what for."""


@pytest.fixture
def _leaping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock of the day shows another year."""
    chance, real = Random(1), time.time

    class Leaping(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Leaping:
            return cls.fromtimestamp(time.time(), tz)

    monkeypatch.setattr(time, "time", lambda: real() + chance.uniform(-YEARS, YEARS))
    monkeypatch.setattr(http, "datetime", Leaping)


@pytest.mark.attack("Clocks", "a clock that jumps", "only notes for people read it; limits and locks do not")
def test_nothing_but_notes_for_people_reads_the_clock_of_the_day() -> None:
    words = ("time.time(", "datetime.now(", "utcnow(", ".today(", "localtime(", "gmtime(", "st_mtime")
    files = (file for folder in ("facerec", "stages", "synthfaces") for file in (ROOT / folder).rglob("*.py"))
    found = {str(file.relative_to(ROOT)) for file in files if any(word in file.read_text() for word in words)}
    assert found == READERS.keys(), "measure time with time.monotonic(), or say here why not"


@pytest.mark.attack("Clocks", "unfinished work that seems to be 50 years old, or of the future", "goes on")
@pytest.mark.usefixtures("_leaping")
@pytest.mark.parametrize("year", [1970, 2099])
def test_unfinished_work_goes_on_whatever_its_age_seems_to_be(year: int) -> None:
    folder = interrupted()
    then = (year - 1970) * 365.25 * 86_400
    os.utime(folder, (then, then))
    assert len(run()) == 6
    assert calls() == [4, 5]
    assert not folder.exists()


@pytest.mark.attack("Clocks", "`Retry-After` in another year than ours", "a minute at most")
@pytest.mark.usefixtures("_leaping")
@pytest.mark.parametrize("date", ["Thu, 01 Jan 1970 00:00:00 GMT", "Tue, 19 Jan 2038 03:14:07 GMT"])
def test_a_download_waits_a_minute_at_most(server, tmp_path, monkeypatch, date) -> None:  # noqa: F811
    monkeypatch.chdir(tmp_path)
    pauses: list[float] = []
    monkeypatch.setattr(http.time, "sleep", pauses.append)
    server.script.steps = [{"status": 503, "headers": {"Retry-After": date}}, {}]
    assert get(server.url, tmp_path).read_bytes() == BODY
    assert len(pauses) == 1
    assert 0 <= pauses[0] <= 60


@pytest.mark.attack("Clocks", "a clock that jumps at every look", "checkpoints and progress keep their time")
@pytest.mark.usefixtures("_leaping")
def test_checkpoints_and_progress_keep_their_time(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, seconds=3600)
    assert not any(kept.due for _ in range(20))
    with bar() as progress:
        task = progress.add_task("work", total=20, unit="photos")
        for _ in range(20):
            progress.update(task, advance=1)
