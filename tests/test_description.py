"""The description of the package, which is README.md as it is read elsewhere (setup.py)."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
RELATIVE = re.compile(r"""(?:\]\(|src=")(?!https?:|#)[^)"]*""")


@pytest.fixture
def describe(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str | None], str]:
    monkeypatch.setattr("setuptools.setup", lambda **_: None)
    return runpy.run_path(str(ROOT / "setup.py"))["describe"]


def test_addresses_are_absolute_where_the_repository_has_one(describe: Callable[[str, str | None], str]) -> None:
    told = describe(README, "https://example.org/facerec")
    assert RELATIVE.findall(README)
    assert RELATIVE.findall(told) == []
    assert "![ROC of the three benchmarks](https://example.org/facerec/raw/main/docs/images/roc.png)" in told
    assert '<img src="https://example.org/facerec/raw/main/docs/images/report_wide.png"' in told
    assert "](https://example.org/facerec/blob/main/docs/README.md)" in told


def test_without_one_nothing_points_nowhere(describe: Callable[[str, str | None], str]) -> None:
    told = describe("[a](docs/a.md) ![b](b.png) <img src='x' src=\"c.png\"> [d](https://d.example) [e](#e)", None)
    assert told.split() == ["a", "[d](https://d.example)", "[e](#e)"]
    assert RELATIVE.findall(describe(README, None)) == []
