"""Embeddings are written once, by any number of processes, and an interrupted run keeps those that are right."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facerec.backbones import storage
from facerec.embedding import embed_set
from facerec.store.embeddings import normalise, read_embeddings, read_feature_sets
from facerec.store.model_metadata import Preprocessing
from facerec.store.shared_matrix import SharedMatrix
from tests.models import SIZE, TEMPLATE, write_set

PARTS = 3


def test_rows_written_in_any_order_are_the_file_that_numpy_saves(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(10, 7)).astype(np.float32)
    matrix, digests = SharedMatrix(tmp_path / "deep/0.npy", 10, 7), {}
    for span in (range(6, 10), range(6)):
        with matrix.open() as file:
            digests[span] = matrix.put(file, span.start, rows[span.start : span.stop])
    np.save(tmp_path / "saved.npy", rows)
    assert matrix.path.read_bytes() == (tmp_path / "saved.npy").read_bytes()
    with matrix.open() as file:
        assert all(matrix.holds(file, span.start, len(span), digest) for span, digest in digests.items())
        assert not matrix.holds(file, 1, 4, digests[range(6, 10)])
        matrix.path.unlink()
        assert (matrix.read(file) == rows).all()


def test_no_rows_are_a_file_too(tmp_path: Path) -> None:
    matrix = SharedMatrix(tmp_path / "0.npy", 0, 7)
    with matrix.open() as file:
        matrix.put(file, 0, np.empty((0, 7), np.float32))
        assert matrix.read(file).shape == (0, 7)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network, and a set whose faces are three parts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACEREC_SCRATCH", "scratch")
    monkeypatch.setenv("FACEREC_WORKERS", "1")
    monkeypatch.setattr(embed_set, "_JOB", 2)
    torch.manual_seed(3)
    rules = Preprocessing(size=SIZE, template=TEMPLATE)
    storage.save_backbone(storage.create_backbone("mobilefacenet", 16, {"width": 0.125}, rules), "n.pt")
    write_set(tmp_path / "faces", range(PARTS), photos=2)
    return tmp_path


class Counted:
    """Counts the parts that are made, and fails before one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[int] = []
        self.fails_at = -1
        plain = embed_set._Embedding._embed

        def embed(embedding: embed_set._Embedding, job: range) -> NDArray[np.float32]:
            if job.start == self.fails_at:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.made.append(job.start)
            return plain(embedding, job)

        monkeypatch.setattr(embed_set._Embedding, "_embed", embed)


def test_an_interrupted_run_goes_on_and_makes_damaged_rows_again(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embed_set.embed_face_set("n.pt", "faces", "whole.npy")
    assert not Path("scratch").exists()
    counted = Counted(monkeypatch)
    counted.fails_at = 4
    with pytest.raises(OSError, match="No space"):
        embed_set.embed_face_set("n.pt", "faces", "again.npy")
    (unfinished,) = Path("scratch/matrices").glob("*/0.npy")
    with unfinished.open("r+b") as file:
        file.seek(-3, os.SEEK_END)  # in the second part, the last that is there
        file.write(b"?")
    counted.made, counted.fails_at = [], -1
    embed_set.embed_face_set("n.pt", "faces", "again.npy")
    assert sorted(counted.made) == [2, 4]
    for ending in (".npy", ".parquet"):
        assert Path(f"again{ending}").read_bytes() == Path(f"whole{ending}").read_bytes()
    assert not Path("scratch").exists()


@pytest.mark.parametrize("moment", ["complete", "result"])
def test_another_run_that_ends_meanwhile_does_no_harm(
    world: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """It removes the file before this run has checked it, or after."""
    embed_set.embed_face_set("n.pt", "faces", "whole.npy")
    plain = getattr(embed_set._Embedding, moment)

    def late(embedding: embed_set._Embedding, *arguments: Any) -> Any:
        (place,) = Path("scratch/matrices").glob("*/0.npy")
        place.unlink()
        embedding.write(place.parent, range(2))  # by a worker of that run
        return plain(embedding, *arguments)

    monkeypatch.setattr(embed_set._Embedding, moment, late)
    embed_set.embed_face_set("n.pt", "faces", "again.npy")
    assert Path("again.npy").read_bytes() == Path("whole.npy").read_bytes()


@pytest.mark.parametrize("linked", [True, False])
def test_a_matrix_is_linked_to_its_place_or_copied_there(
    world: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    def refuse(*paths: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", os.link if linked else refuse)
        returned = embed_set.embed_face_set("n.pt", "faces", "one.npy")
    found = read_embeddings("one.npy")
    assert (found.matrix == returned.matrix).all()
    assert Path("one.npy").stat().st_nlink == 1
    assert sorted(path.name for path in world.iterdir()) == ["faces", "n.pt", "one.npy", "one.parquet"]


def test_features_are_embeddings_of_length_one(world: Path) -> None:
    plain = embed_set.embed_face_set("n.pt", "faces")
    embed_set.embed_features("n.pt", "faces", "faces", "features")
    for features in read_feature_sets("features"):
        assert (features.matrix == normalise(plain.matrix)).all()
        assert features.sources == plain.sources
