"""Headless Chromium, to look at our pages as people do: at a width, by day or by night, and without any network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

Scheme = Literal["light", "dark"]

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def find() -> str | None:
    """The Chromium of this machine: FACEREC_CHROMIUM, or the first one on the PATH; None where there is none."""
    return os.environ.get("FACEREC_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


def required() -> str:
    """As `find`; without one the test skips, or fails where FACEREC_CHROMIUM_REQUIRED is set."""
    executable = find()
    if executable is None:
        told = "there is no Chromium here (apt-get install chromium), so the page is not looked at"
        if os.environ.get("FACEREC_CHROMIUM_REQUIRED"):
            pytest.fail(told)
        pytest.skip(told)
    return executable


@contextmanager
def launched(executable: str) -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser, file: Path, width: int, height: int = 900, scheme: Scheme = "light", scale: float = 1
) -> Iterator[tuple[Page, list[str]]]:
    """A page with everything that went wrong while it was open: console, exceptions, requests beyond the file.

    The page of a report may ask for its provenance, too.
    """
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=scale, offline=True
    )
    problems: list[str] = []
    address = file.resolve().as_uri()
    page = context.new_page()
    page.on("console", lambda message: problems.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: problems.append(f"exception: {error}"))
    page.on("requestfailed", lambda request: problems.append(f"failed: {request.url[:100]}"))
    page.on("request", lambda request: _note(problems, request.url, address))
    try:
        page.goto(address)
        yield page, problems
    finally:
        context.close()


def _note(problems: list[str], url: str, address: str) -> None:
    beside = address.rpartition("/")[0] + "/provenance/"
    if url.partition("#")[0] != address and not url.startswith(("data:", beside)):
        problems.append(f"asked for {url[:100]}")
