"""TinyFace: ranks among photos of the gallery and distractors equal brute force, from our embeddings and from matrices."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facerec.cli import app
from facerec.core import console
from facerec.store.embeddings import Embeddings, write_embeddings

Call = Callable[..., tuple[int, str, str]]
PROBES, GALLERY, OTHERS = [1, 1, 2, 3, 4, 4, 5, 6], [1, 2, 2, 3, 4, 5, 5, 6], 40


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def matrix(kind: int, shape: tuple[int, ...], name: str, values: bytes) -> bytes:
    flags = element(6, struct.pack("<II", kind, 0))
    return element(14, flags + element(5, struct.pack(f"<{len(shape)}i", *shape)) + element(1, name.encode()) + values)


def write_mat(path: Path, kind: str, names: list[str], people: list[int]) -> None:
    """A .mat file of version 5 with a column of cells of text and a column of numbers."""
    cells = [matrix(4, (1, len(name)), "", element(4, name.encode("utf-16-le"))) for name in names]
    numbers = matrix(6, (len(people), 1), f"{kind}_ids", element(9, np.array(people, "<f8").tobytes()))
    body = matrix(1, (len(names), 1), f"{kind}_set", b"".join(cells)) + numbers
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + body)


def names(kind: str, people: list[int]) -> list[str]:
    return [f"{who}_{kind}{row}.jpg" for row, who in enumerate(people)]


@pytest.fixture(scope="module")
def rows() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(7, 6))
    found = {"Probe": centres[PROBES], "Gallery_Match": centres[GALLERY], "Gallery_Distractor": np.zeros((OTHERS, 6))}
    return {kind: (each + rng.normal(size=each.shape)).astype(np.float32) for kind, each in found.items()}


@pytest.fixture
def call(
    rows: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Testing_Set").mkdir()
    write_mat(tmp_path / "Testing_Set/probe_img_ID_pairs.mat", "probe", names("p", PROBES), PROBES)
    write_mat(tmp_path / "Testing_Set/gallery_match_img_ID_pairs.mat", "gallery", names("g", GALLERY), GALLERY)
    for kind, each in rows.items():
        np.save(tmp_path / f"{kind}.npy", each)

    def call(*words: str) -> tuple[int, str, str]:
        code = console.run_command(lambda: app(["tinyface", *words], standalone_mode=False))
        return code, *capsys.readouterr()

    return call


def ranks_by_hand(rows: dict[str, np.ndarray]) -> np.ndarray:
    unit = {kind: each / np.linalg.norm(each.astype(np.float64), axis=1, keepdims=True) for kind, each in rows.items()}
    people = [*GALLERY, *[-100] * OTHERS]
    gallery = np.concatenate([unit["Gallery_Match"], unit["Gallery_Distractor"]])
    found = []
    for who, probe in zip(PROBES, unit["Probe"], strict=True):
        order = np.argsort(-(gallery @ probe))
        found.append(1 + next(place for place, row in enumerate(order) if people[row] == who))
    return np.array(found)


def embed(rows: dict[str, np.ndarray], path: Path, leave_out: int = 0) -> None:
    """One matrix of all photos, in another order than the lists, as `facerec embed` writes it."""
    listed = {"Gallery_Distractor": [f"{row}.jpg" for row in range(OTHERS)]}
    listed |= {"Gallery_Match": names("g", GALLERY), "Probe": names("p", PROBES)}
    sources = [f"{kind}/{name}" for kind, some in listed.items() for name in some]
    values = np.concatenate([rows[kind] for kind in listed])
    kept = np.arange(len(sources))[: len(sources) - leave_out]
    write_embeddings(Embeddings(values[kept], [sources[row] for row in kept], [""] * len(kept)), path)


WORDS = ("--probes", "Probe.npy", "--gallery", "Gallery_Match.npy", "--distractors", "Gallery_Distractor.npy")


def test_ranks_equal_brute_force(rows: dict[str, np.ndarray], call: Call, tmp_path: Path) -> None:
    embed(rows, tmp_path / "all.npy")
    expected = {f"rank{k}": np.mean(ranks_by_hand(rows) <= k) for k in (1, 5, 20)}
    assert 0 < expected["rank1"] < expected["rank20"]
    for words in (WORDS, ("all.npy",)):
        code, out, err = call("Testing_Set", *words, "--json")
        assert (code, err) == (0, "")
        found = json.loads(out)
        assert {name: found[name] for name in expected} == expected
        assert (found["probes"], found["gallery"], found["distractors"]) == (len(PROBES), len(GALLERY), OTHERS)
    assert "rank20" in call("Testing_Set", "all.npy")[2]


def test_a_probe_without_a_face_ranks_last(rows: dict[str, np.ndarray], call: Call, tmp_path: Path) -> None:
    embed(rows, tmp_path / "all.npy", leave_out=1)
    found = json.loads(call("Testing_Set", "all.npy", "--json")[1])
    assert found["probes_without_face"] == 1
    assert found["rank20"] == np.mean(ranks_by_hand(rows)[:-1] <= 20) * (len(PROBES) - 1) / len(PROBES)


def test_intervals_hold_the_ranks(call: Call) -> None:
    found = json.loads(call("Testing_Set", *WORDS, "--bootstrap", "200", "--json")[1])
    for name, span in found["interval"].items():
        assert 0 <= span["lo"] <= found[name] <= span["hi"] <= 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("Testing_Set",), "tinyface takes EMBEDDED, or --probes, --gallery and --distractors"),
        (("Testing_Set", *WORDS[:4]), "tinyface takes EMBEDDED"),
        (
            ("Testing_Set", *WORDS[2:], "--probes", "Gallery_Distractor.npy"),
            "needed is a float matrix of 8 rows, one a line of the list",
        ),
        (("Testing_Set", *WORDS[2:], "--probes", "nan.npy"), "row 0 of nan.npy, counted from 0, holds NaN or infinity"),
        (
            ("Testing_Set", "strangers.npy"),
            "has none of the photos that are listed, the first of which is 'Probe/1_p0.jpg'",
        ),
        (("nowhere", *WORDS), "probe_img_ID_pairs.mat"),
        (("swapped", *WORDS), "has no list of names probe_set"),
        (("short", *WORDS), "has 8 names in probe_set, but no number for each in probe_ids"),
    ],
)
def test_bad_input_ends_in_one_sentence(call: Call, tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    np.save(tmp_path / "nan.npy", np.full((8, 6), np.nan))
    write_embeddings(Embeddings(np.ones((1, 6), np.float32), ["a/b.png"], [""]), tmp_path / "strangers.npy")
    for folder, kind, people in (("swapped", "gallery", PROBES), ("short", "probe", PROBES[1:])):
        (tmp_path / folder).mkdir()
        write_mat(tmp_path / folder / "probe_img_ID_pairs.mat", kind, names("p", PROBES), people)
    code, out, err = call(*words)
    assert (code, out) == (1, "")
    assert sentence in " ".join(err.split())
    assert err.count("\n") == 1
