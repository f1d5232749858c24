"""Downloads against a server on this machine that breaks off, changes its mind and lies."""

import contextlib
import hashlib
import os
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from facerec.catalog import http
from facerec.core import AcquireError

BODY = os.urandom(300_000)
HASTY = http.RetryPolicy(attempts=3, pause=0.001, timeout=5, window=5)


@dataclass
class Script:
    """What the server does: one step an answer, the last one for ever."""

    steps: list = field(default_factory=lambda: [{}])
    asked: list = field(default_factory=list)

    def next(self, request):
        self.asked.append(request)
        return self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]


class Handler(BaseHTTPRequestHandler):
    """Serves BODY; a step may set status, headers, body, ranges (False: ignored), shift (of the range answered),
    length (declared, None: not at all), cut (bytes sent), stall (then silence), endless (no end)."""

    def do_GET(self):
        step = self.server.script.next((self.path, dict(self.headers)))
        body = step.get("body", BODY)
        start = self._start(step)
        status = step.get("status", 206 if start else 200)
        if status >= 400:
            body, start = b"no", 0
        if start and start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(status)
        if start:
            self.send_header("Content-Range", f"bytes {step.get('shift', 0) + start}-{len(body) - 1}/{len(body)}")
        for name, value in step.get("headers", {}).items():
            self.send_header(name, value)
        length = step.get("length", len(body) - start)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the client may have enough
            self._send(step, body[start : step.get("cut")])

    def _send(self, step, body):
        self.wfile.write(body)
        while step.get("endless"):
            self.wfile.write(bytes(1 << 16))
        if step.get("stall"):
            self.wfile.flush()
            self.server.over.wait(30)

    def _start(self, step):
        asked = self.headers.get("Range")
        stale = self.headers.get("If-Range") not in (None, step.get("headers", {}).get("ETag"))
        if not asked or stale or not step.get("ranges", True):
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        running.script = Script()
        running.over = threading.Event()
        running.url = f"http://127.0.0.1:{running.server_port}/file.tgz"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.over.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def partial(tmp_path):
    return tmp_path / "downloads/file.part"


def ranges(server):
    return [headers.get("Range") for _, headers in server.script.asked]


def test_a_plain_download(server, partial):
    http.download_file(server.url, partial, checked=True, policy=HASTY)
    assert partial.read_bytes() == BODY
    assert ranges(server) == [None]


@pytest.mark.parametrize(("checked", "headers"), [(True, {}), (False, {"ETag": '"v1"'})])
def test_a_broken_download_goes_on_where_it_stopped(server, partial, checked, headers):
    server.script.steps = [{"cut": 100_000, "headers": headers}, {"cut": 200_000, "headers": headers}]
    server.script.steps += [{"headers": headers}]
    http.download_file(server.url, partial, checked, HASTY)
    assert partial.read_bytes() == BODY
    assert ranges(server) == [None, "bytes=100000-", "bytes=200000-"]


def test_an_interrupted_run_goes_on_in_the_next(server, partial):
    server.script.steps = [{"cut": 100_000}, {"status": 503}]
    with pytest.raises(AcquireError, match=r"503 .*\(3 attempts\)"):
        http.download_file(server.url, partial, checked=True, policy=HASTY)
    assert partial.read_bytes() == BODY[:100_000]
    server.script.steps = [{}]
    http.download_file(server.url, partial, checked=True, policy=HASTY)
    assert partial.read_bytes() == BODY
    assert ranges(server)[-1] == "bytes=100000-"


def test_progress_renews_patience(server, partial):
    server.script.steps = [{"cut": 10_000 * (step + 1)} for step in range(20)] + [{}]
    http.download_file(server.url, partial, checked=True, policy=HASTY)
    assert hashlib.sha256(partial.read_bytes()).digest() == hashlib.sha256(BODY).digest()


def test_without_a_digest_or_a_validator_it_begins_again(server, partial):
    server.script.steps = [{"cut": 100_000}, {}]
    http.download_file(server.url, partial, checked=False, policy=HASTY)
    assert partial.read_bytes() == BODY
    assert ranges(server) == [None, None]


def test_a_file_that_changed_meanwhile_is_not_glued_together(server, partial):
    new = os.urandom(250_000)
    server.script.steps = [{"cut": 100_000, "headers": {"ETag": '"v1"'}}]
    server.script.steps += [{"body": new, "headers": {"ETag": '"v2"'}}]
    http.download_file(server.url, partial, checked=True, policy=HASTY)
    assert partial.read_bytes() == new
    assert server.script.asked[1][1]["If-Range"] == '"v1"'


def test_a_server_without_ranges_sends_all_again(server, partial):
    server.script.steps = [{"cut": 100_000}, {"ranges": False}]
    http.download_file(server.url, partial, checked=True, policy=HASTY)
    assert partial.read_bytes() == BODY


def test_a_range_at_another_place_is_not_taken(server, partial):
    server.script.steps = [{"cut": 100_000}, {"shift": 8}, {}]
    http.download_file(server.url, partial, checked=True, policy=HASTY)
    assert partial.read_bytes() == BODY
    assert ranges(server) == [None, "bytes=100000-", None]


def test_a_complete_partial_file_is_complete(server, partial):
    partial.parent.mkdir()
    partial.write_bytes(BODY)
    http.download_file(server.url, partial, checked=True, policy=HASTY)
    assert partial.read_bytes() == BODY
    partial.write_bytes(BODY + b"too long")
    http.download_file(server.url, partial, checked=True, policy=HASTY)
    assert partial.read_bytes() == BODY


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_final(server, partial, status):
    server.script.steps = [{"status": status}]
    with pytest.raises(AcquireError, match=f"the server answered {status}"):
        http.download_file(server.url, partial, checked=True, policy=HASTY)
    assert len(server.script.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_trouble_is_waited_for(server, partial, status):
    server.script.steps = [{"status": status, "headers": {"Retry-After": "0"}}, {}]
    http.download_file(server.url, partial, checked=True, policy=HASTY)
    assert partial.read_bytes() == BODY


def test_the_pauses_grow_and_the_server_may_ask_for_longer(server, partial, monkeypatch):
    pauses = []
    monkeypatch.setattr(http.time, "sleep", pauses.append)
    server.script.steps = [{"status": 503}, {"status": 503}, {"status": 503, "headers": {"Retry-After": "7"}}, {}]
    http.download_file(server.url, partial, True, http.RetryPolicy(attempts=9, pause=1, timeout=5))
    assert pauses == [1, 2, 7]


def test_a_server_that_is_not_there(partial):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as closed:
        port = closed.server_port
    with pytest.raises(AcquireError, match=r"refused.*\(3 attempts\)"):
        http.download_file(f"http://127.0.0.1:{port}/x", partial, checked=True, policy=HASTY)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "nonsense", "http://[x/"])
def test_an_address_that_is_none(partial, url):
    with pytest.raises(AcquireError):
        http.download_file(url, partial, checked=True, policy=HASTY)
