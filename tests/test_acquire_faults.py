"""Servers that fail in every way they do: after each the next try finishes, and nothing wrong is ever kept."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facerec.catalog import http
from facerec.catalog.downloads import fetch_file
from facerec.catalog.entries import CatalogEntry, File
from facerec.core import AcquireError
from tests.test_acquire_http import BODY, HASTY, ranges, server  # noqa: F401  the fixture

SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACEREC_MIRROR", raising=False)


def listed(url):
    """The entry of BODY at `url`, and its only file."""
    file = {"name": "file.tgz", "urls": [url], "versions": [{"sha256": SHA, "size": len(BODY)}]}
    values = {"name": "small", "title": "t", "kind": "lists", "licence": "CC0", "files": [file]}
    entry = CatalogEntry.model_validate(values)
    return entry.files[0], entry


def get(url, tmp_path, policy=HASTY):
    return fetch_file(*listed(url), tmp_path / "d", policy)


WRONG = bytes([BODY[0] ^ 1]) + BODY[1:]
PAGE = b"<html><body>Google Drive can't scan this file for viruses.</body></html>"
HTML = {"Content-Type": "text/html; charset=utf-8"}
FAULTS = {
    "cut off": ([{"cut": 100_000}], "peer closed connection"),
    "cut off without a length": ([{"cut": 100_000, "length": None}], "closed the connection after 100000"),
    "shorter than listed": ([{"body": BODY[:-9]}], f"offers {len(BODY) - 9} bytes, but the file has {len(BODY)}"),
    "longer than listed": ([{"body": BODY + b"x"}], f"offers {len(BODY) + 1} bytes"),
    "declared too short": ([{"length": 1000}], "offers 1000 bytes"),
    "declared too long": ([{"length": len(BODY) + 7}], f"offers {len(BODY) + 7} bytes"),
    "endless": ([{"length": None, "endless": True}], f"sends more than the {len(BODY)} bytes"),
    "corrupted": ([{"body": WRONG}], "what came is not the listed file"),
    "a web page": ([{"body": PAGE, "headers": HTML}], "answered a web page"),
    "a web page that hides it": ([{"body": b"\n<!DOCTYPE html><p>Log in", "length": None}], "answered a web page"),
    "missing": ([{"status": 404}], "answered 404"),
    "too many requests": ([{"status": 429, "headers": {"Retry-After": "0"}}], r"answered 429 .*\(3 attempts\)"),
    "server error": ([{"status": 500}], r"answered 500 .*\(3 attempts\)"),
    "redirect loop": ([{"status": 302, "headers": {"Location": "/file.tgz"}}], "redirects"),
    "redirect to a file": ([{"status": 302, "headers": {"Location": "file:///etc/passwd"}}], "protocol"),
    "redirect to ftp": ([{"status": 301, "headers": {"Location": "ftp://127.0.0.1/x"}}], "protocol"),
    "redirect to nowhere": ([{"status": 302, "headers": {"Location": "http://[x/"}}], "."),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_fault_the_next_run_finishes_and_the_digest_is_right(server, tmp_path, fault):  # noqa: F811
    steps, message = FAULTS[fault]
    server.script.steps = steps
    with pytest.raises(AcquireError, match=rf"cannot get file\.tgz of small: .*{message}") as caught:
        get(server.url, tmp_path)
    assert not (tmp_path / "d/small/file.tgz").exists()
    assert "\n" not in str(caught.value)
    assert sum(place.stat().st_size for place in (tmp_path / "d/small").iterdir()) <= len(BODY)
    server.script.steps = [{}]
    assert hashlib.sha256(get(server.url, tmp_path).read_bytes()).hexdigest() == SHA
    assert [place.name for place in (tmp_path / "d/small").iterdir()] == ["file.tgz"]


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 429}, {"cut": 1000}, {"cut": 0}])
def test_a_fault_that_passes_is_not_even_noticed(server, tmp_path, fault):  # noqa: F811
    server.script.steps = [fault, {}]
    assert get(server.url, tmp_path).read_bytes() == BODY


def test_a_server_that_ignores_ranges_after_a_cut(server, tmp_path):  # noqa: F811
    server.script.steps = [{"cut": 100_000}, {"ranges": False, "cut": 150_000}, {"ranges": False}]
    assert get(server.url, tmp_path).read_bytes() == BODY
    assert ranges(server) == [None, "bytes=100000-", "bytes=150000-"]


def test_a_web_page_does_not_cost_what_was_already_there(server, tmp_path):  # noqa: F811
    server.script.steps = [{"cut": 100_000}, {"body": PAGE, "headers": HTML, "ranges": False}]
    with pytest.raises(AcquireError, match="answered a web page"):
        get(server.url, tmp_path)
    server.script.steps = [{}]
    assert get(server.url, tmp_path).read_bytes() == BODY
    assert ranges(server)[-1] == "bytes=100000-"


def test_a_connection_that_stalls_is_given_up_and_continued(server, tmp_path):  # noqa: F811
    hasty = http.RetryPolicy(attempts=2, pause=0.001, timeout=0.2)
    server.script.steps = [{"cut": 0, "stall": True}]
    begin = time.monotonic()
    with pytest.raises(AcquireError, match=r"timed out \(2 attempts\)"):
        get(server.url, tmp_path, hasty)
    assert time.monotonic() - begin < 5
    server.script.steps = [{"cut": 100_000, "stall": True}, {}]
    assert get(server.url, tmp_path, hasty).read_bytes() == BODY
    assert ranges(server)[-1] == "bytes=100000-"


RUN = """
import sys
from pathlib import Path
from facerec.catalog.entries import CatalogEntry
from facerec.catalog.downloads import fetch_file
entry = CatalogEntry.model_validate_json(sys.argv[1])
fetch_file(entry.files[0], entry, Path(sys.argv[2]))
"""


def test_after_kill_9_the_next_run_goes_on_where_it_stopped(server, tmp_path):  # noqa: F811
    server.script.steps = [{"cut": 200_000, "stall": True}]
    entry, folder = listed(server.url)[1], tmp_path / "d"
    command = [sys.executable, "-c", RUN, entry.model_dump_json(), str(folder)]
    with subprocess.Popen(command) as process:
        deadline = time.monotonic() + 30
        while not (parts := list(folder.glob("small/*.part"))) or not parts[0].stat().st_size:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    [part], size = list(folder.glob("small/*.part")), parts[0].stat().st_size
    assert 0 < size <= 200_000
    assert part.read_bytes() == BODY[:size]
    server.script.steps = [{}]
    assert get(server.url, tmp_path).read_bytes() == BODY
    assert ranges(server)[-1] == f"bytes={size}-"
    assert [place.name for place in (folder / "small").iterdir()] == ["file.tgz"]


def test_two_processes_do_not_write_one_file(server, tmp_path):  # noqa: F811
    (tmp_path / "d/small").mkdir(parents=True)
    other = os.open(tmp_path / "d/small", os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(AcquireError, match="another process is downloading into"):
        get(server.url, tmp_path)
    os.close(other)
    assert get(server.url, tmp_path).read_bytes() == BODY


def test_what_does_not_fit_the_disk_is_not_begun(server, tmp_path, monkeypatch):  # noqa: F811
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(http.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(AcquireError, match=r"0\.0 GB are to come, but .* has room for 0\.0"):
        get(server.url, tmp_path)


def test_a_disk_that_is_full_or_locked_is_named(server, tmp_path):  # noqa: F811
    (tmp_path / "d").write_bytes(b"a file where a folder belongs")
    with pytest.raises(AcquireError, match=r"cannot write .*d/small"):
        get(server.url, tmp_path)


def test_a_date_to_wait_for_is_understood(server, tmp_path, monkeypatch):  # noqa: F811
    pauses = []
    monkeypatch.setattr(http.time, "sleep", pauses.append)
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    for value in (soon, "Sat, 01 Jan 2000 00:00:00 GMT", "whenever", "Mon, 99 Foo 2000"):
        server.script.steps = [{"status": 503, "headers": {"Retry-After": value}}, {}]
        get(server.url, tmp_path, http.RetryPolicy(attempts=2, pause=1, timeout=5)).unlink()
    assert 15 < pauses[0] <= 20
    assert pauses[1:] == [1, 1, 1]


def test_a_file_of_unknown_bytes_is_fetched_whole(server, tmp_path):  # noqa: F811
    server.script.steps = [{"length": None, "headers": {"ETag": '"v1"'}}]
    partial = tmp_path / "x.part"
    http.download_file(server.url, partial, checked=False, policy=HASTY)
    assert partial.read_bytes() == BODY


def test_the_address_given_is_the_only_thing_asked_for(server, tmp_path):  # noqa: F811
    """A name in the catalog cannot choose a place outside the downloads."""
    for name in ("../x", "/etc/x", "a/b", "..", ".hidden"):
        with pytest.raises(ValueError, match="pattern"):
            File.model_validate({"name": name, "urls": [server.url]})


NAMES = ("ETag", "Last-Modified", "Retry-After", "Content-Range", "Content-Type", "Location")
GARBAGE = st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=30)
LIKELY = st.sampled_from(['W/"x"', '"\xe9"', "bytes 5-9/3", "bytes */5", "9" * 400, "text/html", "//[", "-1", " "])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([200, 206, 301, 302, 304, 404, 416, 429, 503]),
    st.dictionaries(st.sampled_from(NAMES), GARBAGE | LIKELY, max_size=4),
    st.integers(0, 5000),
)
def test_whatever_a_server_says_there_is_one_sentence_or_the_file(server, tmp_path, status, headers, cut):  # noqa: F811
    hasty = http.RetryPolicy(attempts=2, pause=0, timeout=5)
    server.script.steps = [{"cut": cut, "headers": headers}, {"status": status, "headers": headers}]
    with patch.object(http.time, "sleep"), contextlib.suppress(AcquireError):
        get(server.url, tmp_path, hasty)
    server.script.steps = [{}]
    assert get(server.url, tmp_path, hasty).read_bytes() == BODY
    shutil.rmtree(tmp_path / "d")
