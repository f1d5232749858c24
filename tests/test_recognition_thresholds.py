"""Thresholds come from scores that the same model measured, and from nothing else."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facerec.core import FormatError
from facerec.recognition import results, thresholds
from facerec.recognition.thresholds import UnsupportedRateError
from facerec.store.model_metadata import TrainingSet
from tests.recognition import write_scores

MODEL, OTHER = "ab" * 32, "cd" * 32
DIFFERENT = np.arange(1, 101) / 50  # .02, .04, ... 2


def test_the_threshold_is_that_of_the_different_pairs(tmp_path: Path) -> None:
    found = thresholds.read_measurement(write_scores(tmp_path / "lfw", MODEL, DIFFERENT), MODEL).at(0.05)
    assert found.distance == 0.12
    assert found.similarity == pytest.approx(0.94)
    assert found.point.accepted == 5
    assert (found.measured.different, found.tar) == (100, 1.0)
    assert found.accepts(1 - 0.119999 / 2)
    assert not found.accepts(found.similarity - 1e-9)


def test_pairs_without_a_face_do_not_count(tmp_path: Path) -> None:
    distances = np.append(DIFFERENT, [4.0] * 900)
    found = thresholds.read_measurement(write_scores(tmp_path / "lfw", MODEL, distances), MODEL)
    assert found.different == 100
    with pytest.raises(UnsupportedRateError, match=r"made_up is too small: .* 1e-3 needs 1,000 .* there are 100"):
        found.at(1e-3)


def test_cosines_of_another_protocol_are_the_same_threshold(tmp_path: Path) -> None:
    squared = thresholds.read_measurement(write_scores(tmp_path / "a", MODEL, DIFFERENT), MODEL).at(0.05)
    path = write_scores(tmp_path / "b", MODEL, DIFFERENT / 2 - 1, protocol="youden")
    assert thresholds.read_measurement(path, MODEL).at(0.05).distance == pytest.approx(squared.distance)
    path = write_scores(tmp_path / "c", MODEL, DIFFERENT / 2 - 1, protocol="concat-mean")
    with pytest.raises(FormatError, match="concat-mean, which shifts embeddings"):
        thresholds.read_measurement(path, MODEL)


def test_scores_of_another_model_or_of_nobody_knows_which_are_refused(tmp_path: Path) -> None:
    path = write_scores(tmp_path / "lfw", OTHER, DIFFERENT)
    with pytest.raises(FormatError, match=r"lfw was measured with another model \(cdcdcdcdcdcd\) than this one \(abab"):
        thresholds.read_measurement(path, MODEL)
    with pytest.raises(FormatError, match="does not say which model"):
        thresholds.read_measurement(write_scores(tmp_path / "plain", MODEL, DIFFERENT, origin=None), MODEL)
    pq.write_table(pa.table({"same": [True], "distance": [1.0]}), path / "scores.parquet")
    with pytest.raises(FormatError, match="does not say which model"):
        thresholds.read_measurement(path, MODEL)
    with pytest.raises(FormatError, match="not a readable table"):
        thresholds.read_measurement(tmp_path / "nowhere", MODEL)


def test_the_largest_benchmark_of_this_model_is_found(tmp_path: Path) -> None:
    assert thresholds.find_measurement(MODEL, tmp_path / "none") is None
    write_scores(tmp_path / "a", OTHER, np.arange(1, 500) / 500, "of_another")
    write_scores(tmp_path / "b", MODEL, np.arange(1, 400) / 400, "shifted", protocol="concat-mean")
    assert thresholds.find_measurement(MODEL, tmp_path) is None
    write_scores(tmp_path / "c", MODEL, DIFFERENT, "smaller")
    write_scores(tmp_path / "d", MODEL, np.arange(1, 300) / 300, "largest")
    write_scores(tmp_path / "e", MODEL, np.arange(1, 300) / 300, "equal")
    found = thresholds.find_measurement(MODEL, tmp_path)
    assert found is not None
    assert found.benchmark == "largest"
    (tmp_path / "a/scores.parquet").write_bytes(b"PAR1")
    with pytest.raises(FormatError, match="not a readable table"):
        thresholds.find_measurement(MODEL, tmp_path)


def test_synthetic_models_and_benchmarks_carry_their_caution(tmp_path: Path) -> None:
    rendered = thresholds.read_measurement(write_scores(tmp_path / "a", MODEL, DIFFERENT, "synth_lfw", True), MODEL).at(
        0.1
    )
    real = thresholds.read_measurement(write_scores(tmp_path / "b", MODEL, DIFFERENT, "lfw"), MODEL).at(0.1)
    drawn = (TrainingSet("synth_people", True),)
    mixed = (*drawn, TrainingSet("ms1m_arcface", False))
    assert (
        results.describe_caution(mixed, real)
        == results.describe_caution(None, real)
        == results.describe_caution((), None)
        == ""
    )
    assert results.describe_caution(None, rendered) == (
        "No evidence about real people: the threshold was measured on synthetic faces (synth_lfw)"
    )
    for threshold in (None, real):
        assert results.describe_caution(drawn, threshold).endswith("trained on synthetic faces only (synth_people)")
    assert results.describe_caution(drawn, rendered).count("synthetic") == 2


def test_words_say_what_a_decision_rests_on(tmp_path: Path) -> None:
    found = thresholds.read_measurement(
        write_scores(tmp_path / "a", MODEL, np.arange(1, 3001) / 3000, "synth_lfw", True), MODEL
    )
    assert found.at(1e-2).basis == (
        "a false accept rate of 1e-2 measured on synth_lfw (3,000 different pairs of synthetic faces)"
    )
    assert found.at(0.0123456).basis.startswith("a false accept rate of 1.23e-2 measured")
    assert found.at(1e-2).reliability == (
        "30 of the 3,000 different pairs are above it, of the same pairs 100.0 %; the true rate may be "
        "0.7 % to 1.4 % (95 %)"
    )
    assert [thresholds.format_percent(share) for share in (1.0, 0.9994, 0.994, 0.05, 0.00123)] == [
        "100 %", "99.94 %", "99 %", "5 %", "0.12 %"
    ]  # fmt: skip
