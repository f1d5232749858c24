"""MATLAB's .mat files: what is written comes back, and damage is told."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from facerec.core import FormatError
from facerec.interop.matlab import read_mat
from tests.matlab import element, write_mat


@pytest.mark.parametrize("compressed", [True, False])
def test_numbers_texts_and_cells(tmp_path: Path, compressed: bool) -> None:
    table = np.arange(6, dtype="i4").reshape(2, 3)
    cells = [np.array([[1.5, -2.0]]), "a name", [np.array([[7]], "u1")]]
    found = read_mat(
        write_mat(tmp_path / "x.mat", {"table": table, "cells": cells, "n": np.array([[9]], "u2")}, compressed)
    )
    assert list(found) == ["table", "cells", "n"]
    np.testing.assert_array_equal(found["table"], table)
    np.testing.assert_array_equal(found["cells"][0], [[1.5, -2.0]])
    assert found["cells"][1] == "a name"
    assert found["cells"][2][0].item() == 7
    assert (found["n"].item(), found["n"].shape) == (9, (1, 1))


def test_published_lists(mirror: Path) -> None:
    found = read_mat(mirror / "lfw-protocols/blufr_lfw_config.mat")
    assert len(found["imageList"]) == len(found["labels"]) == 13_233
    assert [len(each) for each in found["testIndex"]][:2] == [10_281, 9_805]
    assert found["imageList"][-1] == "Zydrunas_Ilgauskas_0001.jpg"


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("missing", "No such file"),
        ("text", "lacks the header"),
        ("cut", "ends beyond the file"),
        ("structure", "class 2"),
        ("short", "holds 1 values instead of 4"),
        ("bomb", "unpacks to more than 64 MB"),
        ("cells", "end beyond the file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, kind: str, told: str) -> None:
    path = write_mat(tmp_path / "x.mat", {"a": np.zeros((2, 2))}, compressed=False)
    data = path.read_bytes()
    flags, sizes = element(6, struct.pack("<II", 2, 0)), element(5, struct.pack("<2i", 2, 2))
    bodies = {
        "structure": flags + sizes + element(1, b"a"),
        "short": element(6, struct.pack("<II", 6, 0)) + sizes + element(1, b"a") + element(9, struct.pack("<d", 1)),
        "cells": element(6, struct.pack("<II", 1, 0))
        + element(5, struct.pack("<2i", 1 << 20, 1 << 10))
        + element(1, b"a"),
    }
    if kind in bodies:
        path.write_bytes(data[:128] + struct.pack("<II", 14, len(bodies[kind])) + bodies[kind])
    elif kind == "bomb":
        packed = zlib.compress(bytes(65 << 20))
        path.write_bytes(data[:128] + struct.pack("<II", 15, len(packed)) + packed)
    elif kind == "missing":
        path.unlink()
    else:
        path.write_bytes(b"hello" if kind == "text" else data[:-8])
    with pytest.raises(FormatError, match=told):
        read_mat(path)
