"""Download of one file over HTTP, continued where it broke off and tried again when that can help.

A partial file is continued with a Range request (RFC 9110, section 14). So that two versions of a file
are never joined, the validator that the server sent (ETag or Last-Modified) is kept beside the partial
file and sent along as If-Range; without one a download is only continued where a digest will be compared.
What the server sends is checked: a web page in place of the file, a body of another size than the file's
and one that does not fit the disk are refused before or while they arrive.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from facerec.core import AcquireError, bar

_LONGEST_PAUSE = 60.0
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # status codes for which another attempt may help
_PAGE = "the address answered a web page, not the file; it may ask for a login or a click"


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long to try.

    Attributes:
        attempts: without any progress.
        pause: seconds before the second attempt, doubled before each following one.
        timeout: seconds without an answer.
    """

    attempts: int = 4
    pause: float = 1.0
    timeout: float = 30.0


RETRIES = RetryPolicy()


class _TryAgainError(Exception):
    """This attempt failed; `pause` is what the server asked for, in seconds."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


def download_file(
    url: str, partial: Path, checked: bool, policy: RetryPolicy = RETRIES, sizes: Collection[int] = ()
) -> None:
    """Complete the file `partial` from `url`; the part that is already there is kept where that is safe.

    `checked` says that the caller will compare a digest; `sizes` are the bytes the file may have, empty where
    unknown. Raises AcquireError with the reason alone; the partial file stays for a later attempt.
    """
    partial.parent.mkdir(parents=True, exist_ok=True)
    failures = 0
    with httpx.Client(timeout=policy.timeout, follow_redirects=True) as client:
        while True:
            before = _size(partial)
            try:
                return _attempt(client, url, partial, checked, sizes)
            except _TryAgainError as error:
                failures = 1 if _size(partial) > before else failures + 1
                if failures >= policy.attempts:
                    raise AcquireError(f"{error} ({failures} attempts)") from error
                pause = max(error.pause, policy.pause * 2 ** (failures - 1))
                time.sleep(min(pause, _LONGEST_PAUSE))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise AcquireError(str(error)) from error
            except OSError as error:
                raise AcquireError(f"cannot write {partial}: {error.strerror}") from error


def forget_partial(partial: Path) -> None:
    """Remove a partial file and its validator."""
    partial.unlink(missing_ok=True)
    _validator(partial).unlink(missing_ok=True)


def _attempt(client: httpx.Client, url: str, partial: Path, checked: bool, sizes: Collection[int]) -> None:
    have = _size(partial)
    headers = {"Accept-Encoding": "identity", **_range(partial, have, checked)}
    with _transport(), client.stream("GET", url, headers=headers) as response:
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
        _check_offer(response, partial, have, sizes)
        _receive(response, partial, have, sizes)


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
def _transport() -> Iterator[None]:
    """Broken and refused connections are worth another attempt."""
    try:
        yield
    except httpx.TransportError as error:
        if isinstance(error, httpx.UnsupportedProtocol):
            raise
        raise _TryAgainError(str(error) or type(error).__name__) from error


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


def _check_offer(response: httpx.Response, partial: Path, have: int, sizes: Collection[int]) -> None:
    """Refuse, by its headers, a body that cannot be the rest of the file after its first `have` bytes."""
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise AcquireError(_PAGE)
    length = _length(response)
    if length is None:
        return
    if sizes and have + length not in sizes:
        raise AcquireError(f"the server offers {have + length} bytes, but the file has {_either(sizes)}")
    free = shutil.disk_usage(partial.parent).free
    if length > free:
        raise AcquireError(f"{length / 1e9:.1f} GB are to come, but {partial.parent} has room for {free / 1e9:.1f}")


def _answer(response: httpx.Response) -> str:
    return f"the server answered {response.status_code} {response.reason_phrase}".rstrip()


def _receive(response: httpx.Response, partial: Path, have: int, sizes: Collection[int]) -> None:
    """Append the body to the first `have` bytes of `partial`."""
    with partial.open("ab") as file, bar() as progress:
        _remember(response, partial)
        file.truncate(have)
        length = _length(response)
        total = None if length is None else (have + length) / 1e6
        task = progress.add_task(f"download {response.url.host}", total=total, unit="MB")
        progress.update(task, completed=have / 1e6)
        for chunk in response.iter_raw():  # as it arrives: a broken connection loses nothing
            _check_chunk(chunk, have, sizes)
            file.write(chunk)
            have += len(chunk)
            progress.advance(task, len(chunk) / 1e6)
    if sizes and have < min(sizes):  # a server that names no length ends by closing the connection
        raise _TryAgainError(f"the server closed the connection after {have} bytes")


def _remember(response: httpx.Response, partial: Path) -> None:
    """Keep the validator, which identifies this version of the file."""
    tag = response.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    if _is_header(validator):
        _validator(partial).write_text(validator, encoding="utf-8")
    else:
        _validator(partial).unlink(missing_ok=True)


def _check_chunk(chunk: bytes, have: int, sizes: Collection[int]) -> None:
    """Refuse what arrives when it is a web page without its header, or more than the file can be."""
    if have == 0 and chunk.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        raise AcquireError(_PAGE)
    if sizes and have + len(chunk) > max(sizes):
        raise AcquireError(f"the server sends more than the {_either(sizes)} bytes of the file")


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
