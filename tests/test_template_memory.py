"""Memory of `facerec ijb` over its embeddings: so little a pair that IJB-C's 15.7 million pairs take less than 1 GiB."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.template_world import make_world, write_lists

PAIRS, PEOPLE, DIM = 2_000_000, 1000, 64
MOST = (1 << 30) / 15_658_489
"""Bytes a pair with which 15.7 million take 1 GiB."""
FIXED = 64 << 20
"""For blocks of faces, pairs and text, which do not grow."""

_MEASURE = """
import json, resource, sys
from pathlib import Path
from facerec.evaluation.templates import on_files

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

options = on_files.TemplateOptions("norm", trials=4)
on_files.measure_features(Path("small"), Path("small.npy"), options)  # loads and compiles
before = peak()
found = on_files.measure_features(Path("large"), Path("large.npy"), options).answer()
print(json.dumps([peak() - before, found["verification"]["impostor"], found["templates"]]))
"""


@pytest.mark.slow  # two million lines are written, read and scored
def test_two_million_pairs_take_little(tmp_path: Path) -> None:
    world = make_world()
    write_lists(world, tmp_path / "small")
    np.save(tmp_path / "small.npy", world.features)
    rng = np.random.default_rng(0)
    template = np.concatenate([np.arange(PEOPLE), rng.integers(PEOPLE, 4 * PEOPLE, 8 * PEOPLE)])
    (tmp_path / "large").mkdir()
    lines = [f"{row}.jpg {number} {row}" for row, number in enumerate(template.tolist())]
    (tmp_path / "large/ijbc_face_tid_mid.txt").write_text("\n".join(lines) + "\n")
    np.save(tmp_path / "large.npy", rng.normal(size=(len(template), DIM)).astype(np.float32))
    probes = np.unique(template[PEOPLE:])
    first, second = np.divmod(rng.permutation(PEOPLE * len(probes))[:PAIRS], len(probes))
    second = probes[second]
    with (tmp_path / "large/ijbc_template_pair_label.txt").open("w") as file:
        same = second % PEOPLE == first
        file.writelines(f"{a} {b} {int(c)}\n" for a, b, c in zip(first, second, same, strict=True))
    run = subprocess.run(
        [sys.executable, "-c", _MEASURE], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    taken, impostor, templates = json.loads(run.stdout)
    assert (impostor, templates) == (PAIRS - same.sum(), PEOPLE + len(probes))
    assert taken < PAIRS * MOST + FIXED + templates * DIM * 8
