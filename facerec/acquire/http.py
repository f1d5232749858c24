"""One file over HTTP: continued where it broke off, tried again when that can help.

A partial file is continued with a Range request (RFC 9110, section 14). So that two versions of a file
are never glued together, the validator the server sent (ETag or Last-Modified) lies beside the partial
file and goes along as If-Range; a server that sends none is only continued where a digest will tell.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from facerec.errors import AcquireError
from facerec.progress import bar

_LONGEST_PAUSE = 60.0
_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers that another attempt may change."""


@dataclass(frozen=True)
class Patience:
    """How long to insist: attempts without any progress, the first pause between them, silence, seconds."""

    attempts: int = 4
    pause: float = 1.0
    timeout: float = 30.0


PATIENCE = Patience()


class _TryAgainError(Exception):
    """This attempt failed; `pause` is what the server asked for, in seconds."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


def download(url: str, partial: Path, checked: bool, patience: Patience = PATIENCE) -> None:
    """Complete the file `partial` from `url`; what is already there is kept where that is safe.

    `checked` says that the caller will compare a digest. Raises AcquireError with the reason alone; the
    partial file stays for a later attempt.
    """
    partial.parent.mkdir(parents=True, exist_ok=True)
    failures = 0
    with httpx.Client(timeout=patience.timeout, follow_redirects=True) as client:
        while True:
            before = _size(partial)
            try:
                return _attempt(client, url, partial, checked)
            except _TryAgainError as error:
                failures = 1 if _size(partial) > before else failures + 1
                if failures >= patience.attempts:
                    raise AcquireError(f"{error} ({failures} attempts)") from error
                pause = max(error.pause, patience.pause * 2 ** (failures - 1))
                time.sleep(min(pause, _LONGEST_PAUSE))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise AcquireError(str(error)) from error
            except OSError as error:
                raise AcquireError(f"cannot write {partial}: {error.strerror}") from error


def forget(partial: Path) -> None:
    """Remove a partial file and its validator."""
    partial.unlink(missing_ok=True)
    _validator(partial).unlink(missing_ok=True)


def _attempt(client: httpx.Client, url: str, partial: Path, checked: bool) -> None:
    have = _size(partial)
    headers = {"Accept-Encoding": "identity", **_range(partial, have, checked)}
    with _transport(), client.stream("GET", url, headers=headers) as response:
        if response.status_code == 416:  # nothing follows what we have: it is whole, or it is not this file
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return
            forget(partial)
            raise _TryAgainError("the server does not continue what it began")
        _check_status(response)
        continues = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if response.status_code == 206 and not continues:
            forget(partial)
            raise _TryAgainError("the server continues at another place")
        _receive(response, partial, have if response.status_code == 206 else 0)


def _range(partial: Path, have: int, checked: bool) -> dict[str, str]:
    """Headers that ask for the rest of the file, or none to begin again."""
    validator = _validator(partial)
    if have and validator.is_file():
        return {"Range": f"bytes={have}-", "If-Range": validator.read_text(encoding="utf-8")}
    return {"Range": f"bytes={have}-"} if have and checked else {}


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
        wait = response.headers.get("Retry-After", "")
        raise _TryAgainError(_answer(response), float(wait) if wait.isdecimal() else 0.0)
    if response.status_code not in (200, 206):
        raise AcquireError(_answer(response))


def _answer(response: httpx.Response) -> str:
    return f"the server answered {response.status_code} {response.reason_phrase}".rstrip()


def _receive(response: httpx.Response, partial: Path, have: int) -> None:
    """Append the body to the first `have` bytes of `partial`."""
    tag = response.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    if validator:
        _validator(partial).write_text(validator, encoding="utf-8")
    else:
        _validator(partial).unlink(missing_ok=True)
    length = response.headers.get("Content-Length", "")
    total = (have + int(length)) / 1e6 if length.isdecimal() else None
    with partial.open("ab") as file, bar() as progress:
        file.truncate(have)
        task = progress.add_task(f"download {response.url.host}", total=total, unit="MB")
        progress.update(task, completed=have / 1e6)
        for chunk in response.iter_raw():  # as it arrives: a broken connection loses nothing
            file.write(chunk)
            progress.advance(task, len(chunk) / 1e6)


def _validator(partial: Path) -> Path:
    return partial.with_name(partial.name + ".validator")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
