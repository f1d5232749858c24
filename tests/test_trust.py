"""docs/trust.md names tests that exist."""

from __future__ import annotations

import re

from tests.conftest import ROOT

PAGE = (ROOT / "docs/trust.md").read_text(encoding="utf-8")


def test_every_test_on_the_page_exists() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", PAGE)
    assert len(named) > 35
    assert [name for name in named if f"def {name}" not in code] == []
    assert [path for path in re.findall(r"`(tests/\w+\.py)`", PAGE) if not (ROOT / path).is_file()] == []
