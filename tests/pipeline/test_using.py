"""docs/using.md: every command and the Python in it run after the default experiment, here a tiny one."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facerec.formats import gallery
from tests.conftest import ROOT
from tests.pipeline.conftest import Project

pytestmark = pytest.mark.pipeline

TEXT = (ROOT / "docs/using.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def repeat_pairs(scores: Path) -> None:
    """As many pairs as the default experiment has, so that the same rates can be told: each of the 20 twenty times."""
    table = pq.read_table(scores)
    repeated = pa.concat_tables([table] * 20).replace_schema_metadata(table.schema.metadata)
    pq.write_table(repeated, scores)


def test_every_command_and_the_python_run_as_written(copy: Project) -> None:
    repeat_pairs(copy.root / "data/scores/synth_lfw/scores.parquet")
    lines = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]
    assert len(lines) == 9
    code = iter(blocks("python"))
    for line in lines:
        fails = line.endswith("# fails")
        shown = copy.run("bash", "-c", line, check=not fails)
        if fails:
            assert shown.splitlines()[-1] in TEXT, shown
        if "compare" in line and not fails:
            assert "No evidence about real people" in shown
            assert "measured on synth_lfw (200 different pairs of synthetic faces)" in shown
        if line.startswith("mkdir"):
            copy.run(sys.executable, "-c", next(code))
    assert next(code, None) is None
    assert (copy.root / "who.png").read_bytes().startswith(b"\x89PNG")
    assert gallery.read(copy.root / "team.gallery").people == {
        "Fezil_Lashail": 3,
        "Howiond_Laijund": 3,
        "Raiweal_Troshean": 3,
    }
