"""docs/trust.md is made from the markers of the tests, and says how a run of them ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import trust

PAGE = trust.PAGE.read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_tests() -> None:
    found = trust.attacks()
    assert len(found) > 50
    assert trust.with_tables(PAGE, found) == PAGE, "run `make docs`"
    assert trust.with_tables(trust.with_tables(PAGE, []), found) == PAGE


def test_tests_of_one_attack_share_a_row_and_a_whole_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tests").mkdir()
    monkeypatch.setattr(trust, "ROOT", tmp_path)
    mark = 'pytest.mark.attack("Names", "a {}", "refused")'
    (tmp_path / "tests/test_a.py").write_text(f"pytestmark = [pytest.mark.slow, {mark.format('link')}]\n")
    tests = "".join(f"@{mark.format('dot')}\ndef test_{number}():\n    pass\n" for number in (1, 2))
    (tmp_path / "tests/test_b.py").write_text(tests + "@pytest.mark.slow\ndef test_3():\n    pass\n")
    page = "# T\n\n## Names\n\n| attack | x |\n| old | row |\n\nText.\n\n## Other\n\nText.\n"
    written = trust.with_tables(page, trust.attacks())
    head = "| attack | what happens | test |\n|---|---|---|\n"
    rows = "| a link | refused | `tests/test_a.py` |\n| a dot | refused | `test_1`, `test_2` |\n"
    assert written == f"# T\n\n## Names\n\n{head}{rows}\nText.\n\n## Other\n\nText.\n"
    with pytest.raises(ValueError, match="no heading and table for"):
        trust.with_tables("# T\n", trust.attacks())
