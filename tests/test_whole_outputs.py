"""Outputs of several files are those of one run: after kill -9 at any rename, on a full disk, and when files are mixed."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from facerec.core import FormatError, atomic_dir, run_command
from facerec.evaluation.identification import on_files
from facerec.interop import devkit
from facerec.store import embeddings, shards, tables
from facerec.store.embeddings import Embeddings, Origin
from tests import packs
from tests.killed import kill_at_every_rename


def made_by(seed: int, rows: int = 6) -> Embeddings:
    """What one run embeds: the same photos, but numbers and people of its own."""
    matrix = np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)
    names = [f"{seed}/{row}" for row in range(rows)]
    return Embeddings(matrix, names, names, Origin(f"{seed}" * 64, "lfw", True))


def is_of(found: Embeddings, seed: int) -> bool:
    made = made_by(seed)
    return bool(np.array_equal(found.matrix, made.matrix)) and found.sources == made.sources


def write_faces(folder: Path, seed: int) -> None:
    """A face set as `align_set` leaves it, where photo `seed` of three has no face."""
    photos = [(number, f"p{number}", f"{number}.jpg") for number in range(3) if number != seed]
    with atomic_dir(folder) as temporary:
        packs.face_set(temporary, photos, lost=[shards.Failure(f"{seed}.jpg", f"p{seed}", "no-face", "None.")])


def read_one(path: Path) -> int:
    """Which of both runs made the embeddings; 0 where they are refused."""
    try:
        found = embeddings.read_embeddings(path)
    except FormatError as error:
        assert "embed" in str(error)
        return 0
    return next(seed for seed in (1, 2) if is_of(found, seed))


def read_features(path: Path) -> int:
    try:
        both = embeddings.read_feature_sets(path)
    except FormatError:
        return 0
    return next(seed for seed in (1, 2) if all(is_of(each, seed) for each in both))


def read_faces(path: Path) -> int:
    try:
        faces = shards.read_shards(path)
    except FormatError:
        return 0
    sources = [*faces.sources, *(failure.source for failure in shards.read_failures(faces))]
    assert sorted(sources) == ["0.jpg", "1.jpg", "2.jpg"]
    return int(sources[-1][0])


OUTPUTS: dict[str, tuple[Callable[[Path, int], None], Callable[[Path], int]]] = {
    "x.npy": (lambda path, seed: embeddings.write_embeddings(made_by(seed), path), read_one),
    "features": (lambda path, seed: embeddings.write_feature_sets(made_by(seed), made_by(seed), path), read_features),
    "faces": (write_faces, read_faces),
}


@pytest.mark.attack(
    "Halves and mixtures", "kill -9 before or after any rename", "the old output, the new one, or one that is refused"
)
@pytest.mark.parametrize("name", OUTPUTS)
def test_kill_9_at_any_rename_leaves_no_mixture(tmp_path: Path, name: str) -> None:
    write, read = OUTPUTS[name]
    box, seen = tmp_path / "box", []

    def prepare() -> None:
        shutil.rmtree(box, ignore_errors=True)
        write(box / name, 1)

    moments = kill_at_every_rename(prepare, lambda: write(box / name, 2), lambda: seen.append(read(box / name)))
    assert moments >= 4
    assert seen[0] == 1
    assert seen[-1] == 2
    write(box / name, 1)  # what the last kill left does not stand in the way
    assert read(box / name) == 1


@pytest.mark.attack("Halves and mixtures", "a table beside the matrix of another run", "refused")
@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_a_file_of_another_run_is_refused(tmp_path: Path, suffix: str) -> None:
    for seed in (1, 2):
        embeddings.write_embeddings(made_by(seed), tmp_path / f"{seed}.npy")
    shutil.copy(tmp_path / f"2{suffix}", tmp_path / f"1{suffix}")
    with pytest.raises(FormatError, match=r"1\.npy and 1\.parquet are not of one run, or one is damaged; embed again"):
        embeddings.read_embeddings(tmp_path / "1.npy")


@pytest.mark.attack("Halves and mixtures", "one changed bit of a matrix", "refused")
def test_one_changed_bit_of_a_matrix_is_noticed(tmp_path: Path) -> None:
    embeddings.write_embeddings(made_by(1), tmp_path / "1.npy")
    data = bytearray((tmp_path / "1.npy").read_bytes())
    data[-3] ^= 1
    (tmp_path / "1.npy").write_bytes(data)
    with pytest.raises(FormatError, match="or one is damaged"):
        embeddings.read_embeddings(tmp_path / "1.npy")


def test_a_table_that_names_no_matrix_is_refused(tmp_path: Path) -> None:
    embeddings.write_embeddings(made_by(1), tmp_path / "1.npy")
    old = pq.read_table(tmp_path / "1.parquet")
    notes: list[dict[str, Any] | None] = [None, {"model": "1" * 64, "dataset": "lfw", "rendered": True}]
    for note in notes:  # both as earlier versions wrote it
        plain = old.replace_schema_metadata(None)
        tables.write_parquet(plain, tmp_path / "1.parquet", note)
        with pytest.raises(FormatError, match=r"embed (again|stage)"):
            embeddings.read_embeddings(tmp_path / "1.npy")


def test_the_matrix_is_as_numpy_saves_it(tmp_path: Path) -> None:
    for matrix in (made_by(1).matrix, np.asfortranarray(made_by(1).matrix), np.empty((0, 4), np.float32)):
        names = ["x"] * len(matrix)
        embeddings.write_embeddings(Embeddings(matrix, names, names), tmp_path / "x.npy")
        np.save(tmp_path / "y.npy", np.ascontiguousarray(matrix))
        assert (tmp_path / "x.npy").read_bytes() == (tmp_path / "y.npy").read_bytes()
        assert np.array_equal(embeddings.read_embeddings(tmp_path / "x.npy").matrix, matrix)


def test_features_of_two_models_are_refused(tmp_path: Path) -> None:
    embeddings.write_feature_sets(made_by(1), made_by(2), tmp_path / "features")
    with pytest.raises(FormatError, match="made by two models; embed both again"):
        embeddings.read_feature_sets(tmp_path / "features")
    unknown = replace(made_by(2), origin=None)
    embeddings.write_feature_sets(made_by(1), unknown, tmp_path / "features")
    assert len(embeddings.read_feature_sets(tmp_path / "features")[1]) == 6


@pytest.mark.attack("Halves and mixtures", "the list of photos without a face lost or exchanged", "refused")
def test_photos_without_a_face_are_those_of_the_set(tmp_path: Path) -> None:
    """They count in a benchmark, so that losing their table, or taking another, would change its accuracy."""
    faces, other = tmp_path / "faces", tmp_path / "other"
    write_faces(faces, 1)
    write_faces(other, 2)
    shutil.copy(other / shards.FAILURES, faces)
    with pytest.raises(FormatError, match="not the table that was made with these faces; align the photos again"):
        shards.read_failures(shards.read_shards(faces))
    (faces / shards.FAILURES).unlink()
    with pytest.raises(FormatError, match="align the photos again"):
        shards.read_failures(shards.read_shards(faces))
    packs.face_set(tmp_path / "pack", [(0, "A", "A/1.jpg")])
    assert shards.read_failures(shards.read_shards(tmp_path / "pack")) == []
    shutil.copy(other / shards.FAILURES, tmp_path / "pack")
    with pytest.raises(FormatError, match="align the photos again"):
        shards.read_failures(shards.read_shards(tmp_path / "pack"))


def limited(work: Callable[[], Any], told: Path) -> None:
    """Do the work as a command, where no file may have more than 64 KiB; what it tells goes into a file."""
    sys.stderr = told.open("w", buffering=1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
    os._exit(run_command(work))


LARGE = partial(made_by, 2, 20_000)


@pytest.mark.attack("Halves and mixtures", "a limit on the size of files", "one sentence; the files before stay")
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("x.npy", lambda path: embeddings.write_embeddings(LARGE(), path)),
        ("features", lambda path: embeddings.write_feature_sets(LARGE(), LARGE(), path)),
        ("x.bin", lambda path: devkit.write_matrix(LARGE().matrix, path)),
        ("scores", lambda path: on_files.write_devkit_scores(path.with_name("features"), path)),
    ],
)
def test_what_does_not_fit_is_one_sentence_and_leaves_the_files_before(
    tmp_path: Path, name: str, write: Callable[[Path], Any]
) -> None:
    embeddings.write_embeddings(made_by(1), tmp_path / "x.npy")
    embeddings.write_feature_sets(made_by(1, 1000), made_by(1, 1000), tmp_path / "features")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    told = tmp_path.with_name(f"{tmp_path.name}.told")
    process = multiprocessing.get_context("fork").Process(target=limited, args=(partial(write, tmp_path / name), told))
    process.start()
    process.join(60)
    assert process.exitcode == 1
    assert told.read_text().startswith("error: no space left on the disk (")
    assert told.read_text().count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert is_of(embeddings.read_embeddings(tmp_path / "x.npy"), 1)


@pytest.mark.attack("Halves and mixtures", "a full disk", "one sentence; the files before stay")
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_full_disk_leaves_the_embeddings_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = tmp_path / "full"
    full.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "full", full], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let tests mount a file system")
    try:
        embeddings.write_embeddings(made_by(1), full / "x.npy")
        embeddings.write_feature_sets(made_by(1, 200), made_by(1, 200), tmp_path / "features")
        for work in (
            lambda: embeddings.write_embeddings(LARGE(), full / "x.npy"),
            lambda: on_files.write_devkit_scores(tmp_path / "features", full / "scores"),  # a mapped file
        ):
            assert run_command(work) == 1
            assert capsys.readouterr().err.startswith("error: no space left on the disk (")
            assert is_of(embeddings.read_embeddings(full / "x.npy"), 1)
            assert sorted(os.listdir(full)) == ["x.npy", "x.parquet"]
    finally:
        subprocess.run(["umount", full], check=True)
