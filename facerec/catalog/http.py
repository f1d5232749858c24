"""Download of one file over HTTP, continued where it broke off and tried again when that can help.

A partial file is continued with a Range request (RFC 9110, section 14). So that two versions of a file
are never joined, the validator that the server sent (ETag or Last-Modified) is kept beside the partial
file and sent along as If-Range; without one a download is only continued where a digest will be compared.
What the server sends is checked: a web page in place of the file, a body of another size than the file's
and one that does not fit the disk are refused before or while they arrive. No redirect leads from https to
http, and what no digest will check comes over https alone. `pace` bounds time, size and slowness.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from facerec.catalog.pace import RetryPolicy as RetryPolicy
from facerec.catalog.pace import Watch, watched
from facerec.core import AcquireError, bar

if TYPE_CHECKING:
    import httpx

_LONGEST_PAUSE = 60.0  # seconds, whatever the server asks for
_REDIRECTS = 20
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}  # what goes there does not leave this machine
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # status codes for which another attempt may help
_PAGE = "the address answered a web page, not the file; it may ask for a login or a click"


@dataclass(frozen=True)
class _Job:
    """What to download, as given to `download_file`."""

    url: str
    partial: Path
    checked: bool
    policy: RetryPolicy
    sizes: Collection[int]

    @property
    def largest(self) -> float:
        """Bytes that the file has at most."""
        return max(self.sizes) if self.sizes else self.policy.largest


class _TryAgainError(Exception):
    """This attempt failed; `pause` is what the server asked for, in seconds."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


def download_file(
    url: str, partial: Path, checked: bool, policy: RetryPolicy | None = None, sizes: Collection[int] = ()
) -> None:
    """Complete the file `partial` from `url`; the part that is already there is kept where that is safe.

    `checked` says that the caller will compare a digest; `sizes` are the bytes the file may have, empty where
    unknown; `policy` is that of the machine by default. Raises AcquireError with the reason alone; the partial file
    stays for a later attempt unless it is refused.
    """
    import httpx  # takes as long as all else that a command imports; most find their files here

    partial.parent.mkdir(parents=True, exist_ok=True)
    job = _Job(url, partial, checked, policy or RetryPolicy.of_machine(), sizes)
    deadline, failures = time.monotonic() + job.policy.total, 0
    unpooled = httpx.Limits(max_keepalive_connections=0)  # so that each attempt sees its connections open
    with httpx.Client(timeout=job.policy.timeout, limits=unpooled) as client:
        while True:
            before = _size(partial)
            try:
                return _attempt(client, job, deadline)
            except _TryAgainError as error:
                worth = max(1.0, job.policy.rate * job.policy.window)
                failures = 1 if _size(partial) - before >= worth else failures + 1
                _pause(job.policy, error, failures, deadline)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise AcquireError(str(error)) from error
            except OSError as error:
                raise AcquireError(f"cannot write {partial}: {error.strerror}") from error


def _pause(policy: RetryPolicy, error: _TryAgainError, failures: int, deadline: float) -> None:
    """Wait before the next attempt; AcquireError when there is none."""
    pause = min(max(error.pause, policy.pause * 2 ** (failures - 1)), _LONGEST_PAUSE)
    if time.monotonic() + pause >= deadline:
        hours = f"{policy.total / 3600:g} hours (FACEREC_DOWNLOAD_HOURS)"
        raise AcquireError(f"{error}; the file is not whole after {hours}, run again to go on") from error
    if failures >= policy.attempts:
        raise AcquireError(f"{error} ({failures} attempts)") from error
    time.sleep(pause)


def forget_partial(partial: Path) -> None:
    """Remove a partial file and its validator."""
    partial.unlink(missing_ok=True)
    _validator(partial).unlink(missing_ok=True)


def _attempt(client: httpx.Client, job: _Job, deadline: float) -> None:
    partial, have = job.partial, _size(job.partial)
    headers = {"Accept-Encoding": "identity", **_range(partial, have, job.checked)}
    with watched(job.policy, deadline) as watch, _transport(watch), _answering(client, job, headers, watch) as response:
        if response.status_code == 416:  # nothing follows what we have: it is whole, or it is not this file
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return
            forget_partial(partial)
            raise _TryAgainError("the server does not continue what it began")
        _check_status(response)
        continues = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if response.status_code == 206 and not continues:
            forget_partial(partial)
            raise _TryAgainError("the server continues at another place")
        have = have if response.status_code == 206 else 0
        _check_offer(response, job, have)
        _receive(response, job, have, watch)


@contextmanager
def _answering(client: httpx.Client, job: _Job, headers: Mapping[str, str], watch: Watch) -> Iterator[httpx.Response]:
    """The answer at the end of all redirects, whose bodies are not read."""
    request = client.build_request("GET", job.url, headers=headers, extensions={"trace": watch.trace})
    for _ in range(_REDIRECTS):
        _check_way(request.url, job.checked)
        with closing(client.send(request, stream=True)) as response:
            if response.next_request is None:
                yield response
                return
        if (request.url.scheme, response.next_request.url.scheme) == ("https", "http"):
            raise AcquireError("the server redirects from https to http, where anyone on the way can change the file")
        request = response.next_request
    raise AcquireError(f"the server redirects more than {_REDIRECTS} times")


def _check_way(url: httpx.URL, checked: bool) -> None:
    """Refuse http for a file that no digest will check, except within this machine."""
    if url.scheme == "http" and not checked and url.host not in _LOOPBACK:
        raise AcquireError(
            "no digest of this file is known, so it is fetched over https only, not from an http address"
        )


def _range(partial: Path, have: int, checked: bool) -> dict[str, str]:
    """Headers that ask for the rest of the file, or none to begin again."""
    path = _validator(partial)
    validator = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    if have and _is_header(validator):
        return {"Range": f"bytes={have}-", "If-Range": validator}
    return {"Range": f"bytes={have}-"} if have and checked else {}


def _is_header(value: str) -> bool:
    """Whether a value from a server can be sent back as a header."""
    return value.isascii() and value.isprintable() and value.strip() != ""


@contextmanager
def _transport(watch: Watch) -> Iterator[None]:
    """Broken, refused and cut connections are worth another attempt."""
    import httpx

    try:
        yield
    except (httpx.TransportError, _TryAgainError) as error:
        if isinstance(error, httpx.UnsupportedProtocol | _TryAgainError) and not watch.verdict:
            raise
        raise _TryAgainError(watch.verdict or str(error) or type(error).__name__) from error
    if watch.verdict:  # cutting the connection is a proper end of a body without a length
        raise _TryAgainError(watch.verdict)


def _check_status(response: httpx.Response) -> None:
    if response.status_code in _PASSING:
        raise _TryAgainError(_answer(response), _retry_after(response.headers.get("Retry-After", "")))
    if response.status_code not in (200, 206):
        raise AcquireError(_answer(response))


def _retry_after(value: str) -> float:
    """Seconds the server asks to wait: a number, or a date (RFC 9110, section 10.2.3); 0 for anything else."""
    if value.isdecimal():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _check_offer(response: httpx.Response, job: _Job, have: int) -> None:
    """Refuse, by its headers, a body that cannot be the rest of the file after its first `have` bytes."""
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise AcquireError(_PAGE)
    length = _length(response)
    if length is None:
        return
    if job.sizes and have + length not in job.sizes:
        raise AcquireError(f"the server offers {have + length} bytes, but the file has {_either(job.sizes)}")
    if have + length > job.largest:
        raise AcquireError(f"the server offers {(have + length) / 1e9:.1f} GB, {_too_much(job)}")
    room = _room(job)
    if length > room:
        where = f"{job.partial.parent} has room for {max(0.0, room) / 1e9:.1f}"
        raise AcquireError(f"{length / 1e9:.1f} GB are to come, but {where}; {_spared(job)}")


def _answer(response: httpx.Response) -> str:
    return f"the server answered {response.status_code} {response.reason_phrase}".rstrip()


def _receive(response: httpx.Response, job: _Job, have: int, watch: Watch) -> None:
    """Append the body to the first `have` bytes of the partial file."""
    with job.partial.open("ab") as file, bar() as progress:
        _remember(response, job.partial)
        file.truncate(have)
        length = _length(response)
        total = None if length is None else (have + length) / 1e6
        task = progress.add_task(f"download {response.url.host}", total=total, unit="MB")
        progress.update(task, completed=have / 1e6)
        for chunk in response.iter_raw():  # as it arrives: a broken connection loses nothing
            watch.received += len(chunk)
            _check_chunk(chunk, job, have, ends=length is not None)
            file.write(chunk)
            have += len(chunk)
            progress.advance(task, len(chunk) / 1e6)
    if job.sizes and have < min(job.sizes):  # a server that names no length ends by closing the connection
        raise _TryAgainError(f"the server closed the connection after {have} bytes")


def _remember(response: httpx.Response, partial: Path) -> None:
    """Keep the validator, which identifies this version of the file."""
    tag = response.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    if _is_header(validator):
        _validator(partial).write_text(validator, encoding="utf-8")
    else:
        _validator(partial).unlink(missing_ok=True)


def _check_chunk(chunk: bytes, job: _Job, have: int, ends: bool) -> None:
    """Refuse what arrives when it is a web page without its header, more than the file can be, or fills the disk.

    What was refused is removed, unless only room is missing for a body that `ends`.
    """
    if have == 0 and chunk.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        raise AcquireError(_PAGE)
    if have + len(chunk) > job.largest:
        forget_partial(job.partial)
        told = f"more than the {_either(job.sizes)} bytes of the file" if job.sizes else _too_much(job)
        raise AcquireError(f"the server sends {told}")
    if len(chunk) > _room(job):
        if not (ends or job.sizes):
            forget_partial(job.partial)
        raise AcquireError(f"the disk of {job.partial.parent} is nearly full; {_spared(job)}")


def _too_much(job: _Job) -> str:
    return f"more than the {job.policy.largest / 1e9:g} GB that FACEREC_DOWNLOAD_GB allows"


def _room(job: _Job) -> float:
    """Bytes that the disk can take."""
    return shutil.disk_usage(job.partial.parent).free - job.policy.spare


def _spared(job: _Job) -> str:
    return f"free some, {job.policy.spare / 1e9:g} GB stay free (FACEREC_SPARE_GB)"


def _length(response: httpx.Response) -> int | None:
    """Bytes of the body, None where the server does not say."""
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _either(sizes: Collection[int]) -> str:
    return " or ".join(map(str, sorted(sizes)))


def _validator(partial: Path) -> Path:
    return partial.with_name(partial.name + ".validator")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
