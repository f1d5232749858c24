"""Verification of files: plain arrays and pairs by name give one result, with every figure's interval beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from facerec.core import FormatError
from facerec.evaluation.verification import on_files
from facerec.evaluation.verification.protocols import PROTOCOLS
from facerec.store import embeddings, pairs
from facerec.store.embeddings import Embeddings

OPTIONS = on_files.VerifyOptions(far=0.1, trials=50)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, np.ndarray, np.ndarray]:
    """faces.npy of 30 people, four photos each, pairs.parquet among them, and the same as plain arrays."""
    rng = np.random.default_rng(2)
    people = np.repeat(np.arange(30), 4)
    rows = (np.eye(30)[people] + 0.3 * rng.normal(size=(120, 30))).astype(np.float32)
    sources = [f"p{person}/{photo}.jpg" for photo, person in enumerate(people)]
    embeddings.write_embeddings(Embeddings(rows, sources, [f"p{person}" for person in people]), tmp_path / "faces.npy")
    first = rng.integers(0, 120, 100)
    same = np.arange(100) % 2 == 0
    second = np.where(same, people[first] * 4 + rng.integers(0, 4, 100), (first + 40) % 120)
    first[7] = -1  # a photo without a face
    pairs.write_pairs(pairs.Pairs(first, second, same), tmp_path / "pairs.parquet")
    interleaved = rows[np.stack([first, second], 1).ravel()]
    interleaved[14] = np.nan
    return tmp_path / "faces.npy", tmp_path / "pairs.parquet", interleaved, same


def test_files_by_name_and_plain_arrays_agree(files, tmp_path: Path) -> None:
    embedded, listed, interleaved, same = files
    np.save(tmp_path / "E.npy", interleaved)
    np.save(tmp_path / "S.npy", same)
    named = on_files.verify_files(embedded, listed, OPTIONS, tmp_path / "out").metrics()
    plain = on_files.verify_arrays(tmp_path / "E.npy", tmp_path / "S.npy", OPTIONS).metrics()
    assert (named["interval_over"], plain["interval_over"]) == ("identities", "pairs")
    assert named["failures"] == 1
    points = {key for key in named if not key.endswith(("_low", "_high", "_over"))}
    assert {key: named[key] for key in points} == {key: plain[key] for key in points}
    for name in ("accuracy", "auc", "eer"):
        assert named[f"{name}_low"] <= named[name] <= named[f"{name}_high"]


def test_figures_near_chance_come_with_what_to_look_at(files, tmp_path: Path) -> None:
    _, _, interleaved, same = files
    np.save(tmp_path / "E.npy", interleaved)
    np.save(tmp_path / "S.npy", same)
    assert on_files.verify_arrays(tmp_path / "E.npy", tmp_path / "S.npy", OPTIONS).doubt is None
    np.save(tmp_path / "E.npy", np.random.default_rng(1).normal(size=interleaved.shape))
    doubt = on_files.verify_arrays(tmp_path / "E.npy", tmp_path / "S.npy", OPTIONS).doubt
    assert doubt is not None
    assert "near chance" in doubt
    assert "docs/troubleshooting.md" in doubt


def test_what_is_written_tells_every_pair_fold_and_rate(files, tmp_path: Path) -> None:
    embedded, listed, _, same = files
    judged = on_files.verify_files(embedded, listed, OPTIONS, tmp_path / "out")
    assert json.loads((tmp_path / "out/result.json").read_text()) == judged.metrics()
    details = json.loads((tmp_path / "out/details.json").read_text())
    assert np.mean(details["fold_accuracy"]) == pytest.approx(judged.result.accuracy)
    by_rate = {rate["far"]: rate for rate in details["rates"]}
    assert by_rate[0.1]["tar"] is not None
    assert by_rate[1e-3] == {"far": 1e-3, "tar": None, "tar_std": None, "low": None, "high": None, "pairs_needed": 1000}
    table = pq.read_table(tmp_path / "out/scores.parquet").to_pandas()
    right = (table.distance < table.threshold) == table.same
    assert right.groupby(table.fold).mean().tolist() == pytest.approx(details["fold_accuracy"])
    assert table["first"].isna().sum() == 1
    assert table.same.tolist() == same.tolist()


def test_the_curve_lies_inside_its_band(files, tmp_path: Path) -> None:
    embedded, listed, _, _ = files
    records = on_files.verify_files(embedded, listed, OPTIONS, tmp_path / "out").roc()
    assert all(record["lo"] <= record["tpr"] <= record["hi"] for record in records)
    assert any(record["lo"] < record["hi"] for record in records)


def test_every_protocol_runs_on_files(files, tmp_path: Path) -> None:
    embedded, listed, _, _ = files
    for protocol in PROTOCOLS:
        options = on_files.VerifyOptions(protocol, far=0.1, trials=10)
        assert on_files.verify_files(embedded, listed, options, tmp_path / protocol).metrics()["accuracy"] > 0.7


def test_arrays_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "E.npy").write_bytes(b"no array")
    with pytest.raises(FormatError, match=r"cannot read .*E\.npy as a \.npy array"):
        on_files.verify_arrays(tmp_path / "E.npy", tmp_path / "S.npy", OPTIONS)
