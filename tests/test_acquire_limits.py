"""Servers that drip, never end, ask for years of patience, fill the disk or leave https: each ends in a sentence, soon."""

import contextlib
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from facerec.catalog import http
from facerec.catalog.downloads import fetch_file
from facerec.core import AcquireError, ParamsError
from tests.test_acquire_faults import get, listed
from tests.test_acquire_http import BODY, HASTY, server  # noqa: F401  the fixture

STRICT = http.RetryPolicy(attempts=2, pause=0.001, timeout=30, rate=10_000, window=0.2)
"""A drip of a byte each hundredth of a second stays far below it, a burst on this machine far above, however busy."""

ANSWER = b"HTTP/1.1 200 OK\r\n"
DRIPS = {
    "status line": b"HTTP/1.1 200 ",
    "headers": ANSWER + b"X-A: ",
    "body": ANSWER + b"Content-Length: 300000\r\n\r\n",
    "body without a length": ANSWER + b"\r\n",
    "length of a chunk": ANSWER + b"Transfer-Encoding: chunked\r\n\r\n1;a=",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 300000\r\n\r\n",
}


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACEREC_MIRROR", raising=False)


@contextlib.contextmanager
def answering(serve):
    """The port of a server that calls serve(connection, over) for each connection, in a thread each."""
    over, threads = threading.Event(), []

    def talk(connection):
        with connection, contextlib.suppress(OSError):
            serve(connection, over)

    def accept():
        while not over.is_set():
            with contextlib.suppress(OSError):
                threads.append(threading.Thread(target=talk, args=(listening.accept()[0],)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.02)
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            for thread in (accepting, *threads):
                thread.join()


def dripping(head):
    """Send `head` at once and then a letter each hundredth of a second, for ever."""

    def serve(connection, over):
        connection.settimeout(0.01)
        connection.sendall(head)
        while not over.wait(0.01):
            connection.sendall(b"a")

    return serve


def limited(seconds, call, *arguments):
    """What `call` raises, which must not take longer."""
    begin = time.monotonic()
    with pytest.raises(AcquireError) as caught:
        call(*arguments)
    assert time.monotonic() - begin < seconds
    return str(caught.value)


@pytest.mark.attack("Servers", "a server that drips its status, headers, body or TLS", "given up below the least rate")
@pytest.mark.parametrize("drip", DRIPS)
def test_a_server_that_drips_is_given_up(tmp_path, drip):
    with answering(dripping(DRIPS[drip])) as port:
        told = limited(15, get, f"http://127.0.0.1:{port}/x", tmp_path, STRICT)
    slow = "the server sends less than 10 kB a second (FACEREC_DOWNLOAD_RATE) (2 attempts)"
    assert ("redirects more than 20 times" if drip == "redirect" else slow) in told


def test_a_server_that_drips_while_it_agrees_on_tls_is_given_up(tmp_path):
    record = b"\x16\x03\x03\x3f\xff"  # a handshake record of 16 kB, which does not come
    with answering(dripping(record)) as port:
        told = limited(15, get, f"https://127.0.0.1:{port}/x", tmp_path, STRICT)
    assert "less than 10 kB a second" in told


@pytest.mark.attack("Servers", "one byte a connection; endless retries", "no progress, given up")
def test_one_byte_a_connection_is_no_progress(server, tmp_path):  # noqa: F811
    server.script.steps = [{"cut": size} for size in range(1, 1000)]
    told = limited(15, get, server.url, tmp_path)
    assert "(3 attempts)" in told
    assert len(server.script.asked) == 3
    server.script.steps = [{}]
    assert get(server.url, tmp_path).read_bytes() == BODY


def test_all_attempts_together_take_no_longer_than_allowed(server, tmp_path):  # noqa: F811
    brief = http.RetryPolicy(attempts=1000, pause=0.05, timeout=30, rate=0, total=0.5)
    server.script.steps = [{"status": 503}]
    told = limited(15, get, server.url, tmp_path, brief)
    assert "answered 503" in told
    assert "not whole after 0.000138889 hours (FACEREC_DOWNLOAD_HOURS), run again to go on" in told
    assert len(server.script.asked) < 12
    with answering(dripping(DRIPS["body"])) as port:
        told = limited(15, get, f"http://127.0.0.1:{port}/x", tmp_path, brief)
    assert "the time is over; the file is not whole after" in told


@pytest.mark.attack("Servers", "`Retry-After` of years", "a minute at most")
@pytest.mark.parametrize("value", ["99999999999", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wait_of_years_is_not_obeyed(server, tmp_path, monkeypatch, value):  # noqa: F811
    pauses = []
    monkeypatch.setattr(http.time, "sleep", pauses.append)
    server.script.steps = [{"status": 503, "headers": {"Retry-After": value}}]
    with pytest.raises(AcquireError, match=r"answered 503 .*\(3 attempts\)"):
        get(server.url, tmp_path)
    assert pauses == [60, 60]


def unlisted(url, tmp_path, **limits):
    """Download a file of unknown size and digest."""
    policy = http.RetryPolicy(attempts=2, pause=0.001, timeout=5, window=5, **limits)
    http.download_file(url, tmp_path / "x.part", checked=False, policy=policy)


@pytest.mark.attack("Servers", "a body without end", "stopped and removed")
def test_a_body_without_end_stops_at_the_limit_and_leaves_nothing(server, tmp_path):  # noqa: F811
    server.script.steps = [{"length": None, "endless": True, "headers": {"ETag": '"v1"'}}]
    told = limited(30, lambda: unlisted(server.url, tmp_path, largest=2e6))
    assert told == "the server sends more than the 0.002 GB that FACEREC_DOWNLOAD_GB allows"
    assert list(tmp_path.iterdir()) == []
    server.script.steps = [{}]
    unlisted(server.url, tmp_path, largest=2e6)
    assert (tmp_path / "x.part").read_bytes() == BODY


def test_an_offer_beyond_the_limit_is_not_begun(server, tmp_path):  # noqa: F811
    server.script.steps = [{"length": 10**15}]
    told = limited(15, lambda: unlisted(server.url, tmp_path))
    assert told == "the server offers 1000000.0 GB, more than the 300 GB that FACEREC_DOWNLOAD_GB allows"


@pytest.mark.attack("Servers", "a body longer than announced", "stopped and removed")
def test_a_body_beyond_the_listed_size_leaves_nothing(server, tmp_path):  # noqa: F811
    server.script.steps = [{"length": None, "endless": True}]
    assert f"sends more than the {len(BODY)} bytes" in limited(30, get, server.url, tmp_path)
    assert list((tmp_path / "d/small").iterdir()) == []


class Shrinking:
    """A disk whose room is used up meanwhile."""

    def __init__(self, free):
        self.free = free

    def __call__(self, _):
        self.free -= 100_000
        return self


@pytest.mark.attack("Servers", "a disk that fills", "room stays free")
def test_a_disk_does_not_fill_up_with_a_body_that_names_no_end(server, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(http.shutil, "disk_usage", Shrinking(1e9 + 5e5))
    server.script.steps = [{"length": None, "endless": True}]
    told = limited(30, lambda: unlisted(server.url, tmp_path))
    assert told == f"the disk of {tmp_path} is nearly full; free some, 1 GB stay free (FACEREC_SPARE_GB)"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.attack("Servers", "a download that lacked room", "goes on later")
def test_what_only_lacked_room_goes_on_later(server, tmp_path, monkeypatch):  # noqa: F811
    with monkeypatch.context() as full:
        full.setattr(http.shutil, "disk_usage", Shrinking(1e9 + 5e5))
        assert "is nearly full" in limited(30, get, server.url, tmp_path)
    assert 0 < next((tmp_path / "d/small").glob("*.part")).stat().st_size < len(BODY)
    assert get(server.url, tmp_path).read_bytes() == BODY
    assert "Range" in server.script.asked[-1][1]


def test_the_beginning_from_another_address_does_not_stay(server, tmp_path):  # noqa: F811
    file, entry = listed(server.url)
    file = file.model_copy(update={"urls": [server.url, f"{server.url}?second"]})
    server.script.steps = [{"cut": 1000, "headers": {"ETag": '"v1"'}}] * 3 + [{}]
    path = fetch_file(file, entry, tmp_path / "d", HASTY)
    assert [place.name for place in path.parent.iterdir()] == ["file.tgz"]


@pytest.mark.parametrize("name", ["DOWNLOAD_RATE", "DOWNLOAD_HOURS", "DOWNLOAD_GB", "SPARE_GB"])
@pytest.mark.parametrize("value", ["fast", "-1", "nan", "inf"])
def test_a_limit_that_is_no_number_is_named(monkeypatch, name, value):
    monkeypatch.setenv(f"FACEREC_{name}", value)
    with pytest.raises(ParamsError, match=f"FACEREC_{name} must be a number from 0 up, not '{value}'"):
        http.RetryPolicy.of_machine()


def test_the_limits_are_settings_of_the_machine(tmp_path, server, monkeypatch):  # noqa: F811
    assert http.RetryPolicy.of_machine() == http.RetryPolicy()
    (tmp_path / "facerec.local.toml").write_text("download_rate = 5\nspare_gb = 2\n")
    monkeypatch.setenv("FACEREC_DOWNLOAD_GB", "0.0001")
    monkeypatch.setenv("FACEREC_DOWNLOAD_HOURS", "0.5")
    assert http.RetryPolicy.of_machine() == http.RetryPolicy(rate=5e3, total=1800, largest=1e5, spare=2e9)
    with pytest.raises(AcquireError, match="FACEREC_DOWNLOAD_GB allows"):
        http.download_file(server.url, tmp_path / "x.part", checked=True)


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    """Files of a certificate for 127.0.0.1 and of its key."""
    folder = tmp_path_factory.mktemp("certificate")
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now, alternative = datetime.now(UTC), x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(alternative, critical=False).add_extension(x509.BasicConstraints(True, None), True)
    (folder / "cert.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*form))
    return folder / "cert.pem", folder / "key.pem"


def redirecting(context, location):
    def serve(connection, over):
        connection.settimeout(10)
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1 << 16)
            secured.sendall(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())

    return serve


@pytest.mark.attack("Servers", "a redirect from https to http", "not followed")
def test_a_redirect_from_https_to_http_is_not_followed(server, tmp_path, monkeypatch, certified):  # noqa: F811
    """Although a digest is known: what is asked for, and that it is, stays between client and server."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certified[0]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certified)
    with answering(redirecting(context, server.url)) as port:
        with pytest.raises(AcquireError, match=r"the server redirects from https to http, where anyone"):
            get(f"https://127.0.0.1:{port}/x", tmp_path)
        assert server.script.asked == []
