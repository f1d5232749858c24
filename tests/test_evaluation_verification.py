"""Verification of files: plain arrays and pairs by name give one result, with every figure's interval beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerec.core import FormatError
from facerec.evaluation import curves
from facerec.evaluation.verification import evaluate, on_files
from facerec.evaluation.verification.protocols import PROTOCOLS
from facerec.reporting import summary, tables
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
    number, same = np.arange(100) // 2, np.arange(100) % 2 == 0
    first = np.where(same, 2 * number, number)
    second = np.where(same, 2 * number + 1, number + 40)
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
    assert (named["people"], "people" in plain) == (25, False)
    points = {key for key in named if not key.endswith(("_low", "_high", "_over", "people", "_folds"))}
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


def attacked(kind: str, rows: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and truth of 100 pairs, changed so that their accuracy says little."""
    kinds = {False: np.flatnonzero(~same), True: np.flatnonzero(same)}
    chosen = {
        "swapped": np.arange(100),
        "one genuine pair": np.append(kinds[True][:1], np.tile(kinds[False], 4)[:199]),
        "few of a kind": np.append(kinds[True][:9], kinds[False]),
        "two pairs": np.tile([0, 1], 100),
        "an image and itself": np.arange(100),
        "failures": np.arange(100),
    }[kind]
    embedded, truth = rows.reshape(-1, 2, rows.shape[1])[chosen].copy(), same[chosen]
    if kind == "an image and itself":
        embedded[truth, 1] = embedded[truth, 0]
    if kind == "failures":
        embedded[np.flatnonzero(~truth)[:40]] = np.nan
    return embedded.reshape(-1, rows.shape[1]), truth ^ (kind == "swapped")


@pytest.mark.attack(
    "Numbers",
    "swapped labels, one genuine pair among 200, repeated pairs, failed impostors",
    "a note in JSON and on the page",
)
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("swapped", "truth of the pairs is probably swapped"),
        ("one genuine pair", "only 1 of 200 pairs is genuine"),
        ("few of a kind", "only 9 pairs are genuine, too few"),
        ("two pairs", "99.0 % of the pairs compare the same two embeddings"),
        ("an image and itself", "50.0 % of the pairs compare the same two embeddings"),
        ("failures", "80.0 % of the impostor pairs lack a face and count as success"),
    ],
)
def test_numbers_that_say_little_carry_a_note(files, tmp_path: Path, kind: str, told: str) -> None:
    rows, same = attacked(kind, *files[2:])
    np.save(tmp_path / "E.npy", rows)
    np.save(tmp_path / "S.npy", same)
    judged = on_files.verify_arrays(tmp_path / "E.npy", tmp_path / "S.npy", OPTIONS)
    assert told in (judged.doubt or "")
    assert judged.metrics()["doubt"] == judged.doubt
    found = {"verification": {"mine": judged.metrics()}}
    assert told in tables.verification_table(found).note
    assert told in " ".join(tables.headline_numbers(found)[0].notes)


@pytest.mark.attack("Numbers", "pairs of few people", "a note in JSON and on the page")
@pytest.mark.parametrize("people", [4, 30])
def test_few_people_are_told(files, tmp_path: Path, people: int) -> None:
    embedded, listed, _, _ = files
    faces = embeddings.read_embeddings(embedded)
    names = [f"p{int(name[1:]) % people}" for name in faces.identities]
    embeddings.write_embeddings(Embeddings(faces.matrix, faces.sources, names), tmp_path / "few.npy")
    judged = on_files.verify_files(tmp_path / "few.npy", listed, OPTIONS, tmp_path / "out")
    assert judged.metrics()["people"] == min(people, 25)  # five are in no pair
    assert ("the pairs show only 4 people" in (judged.doubt or "")) == (people == 4)


@pytest.mark.parametrize("broken", ["y", "all different"])
def test_broken_identities_are_told_and_not_believed(files, tmp_path: Path, broken: str) -> None:
    """As where half of a set became a person called "y": drawing people would give intervals from 0 to 1."""
    embedded, listed, interleaved, same = files
    faces = embeddings.read_embeddings(embedded)
    names = ["y" if broken == "y" else source for source in faces.sources]
    embeddings.write_embeddings(Embeddings(faces.matrix, faces.sources, names), tmp_path / "broken.npy")
    judged = on_files.verify_files(tmp_path / "broken.npy", listed, OPTIONS, tmp_path / "out")
    assert "of the pairs contradict the names of their photos" in (judged.doubt or "")
    found = judged.metrics()
    assert found["contradicting_names"] == pytest.approx(0.5, abs=0.02)
    np.save(tmp_path / "E.npy", interleaved)
    np.save(tmp_path / "S.npy", same)
    plain = on_files.verify_arrays(tmp_path / "E.npy", tmp_path / "S.npy", OPTIONS).metrics()
    keys = {key for key in plain if key.endswith(("_low", "_high", "_over"))}
    assert {key: found[key] for key in keys} == {key: plain[key] for key in keys}


def test_people_in_several_folds_are_counted_and_told(files, tmp_path: Path) -> None:
    """Pair i shows person i // 2 and, if an impostor pair, one ten people on; folds are ten pairs."""
    embedded, listed, interleaved, same = files
    judged = on_files.verify_files(embedded, listed, OPTIONS, tmp_path / "out")
    table = pq.read_table(tmp_path / "out/scores.parquet").to_pylist()
    folds = {}
    for row in table:
        for person in (row["first_identity"], row["second_identity"]):
            folds.setdefault(person, set()).add(row["fold"])
    several = sum(len(where) > 1 for person, where in folds.items() if person)
    assert judged.shared == judged.metrics()["people_in_several_folds"] == several > 0
    note = tables.note_on_folds({"verification": {"mine": judged.metrics()}})
    assert f"{several} of the 25 people of mine are in several folds" in note

    apart = pairs.Pairs(*(rows.repeat(2) for rows in (np.arange(0, 120, 4), np.arange(1, 121, 4))), np.ones(60, bool))
    apart.same[1::2] = False  # six pairs of three people a fold, whose impostors are among the three
    apart.second[1::2] = apart.first[1::2] + np.where(np.arange(30) % 3 == 2, -8, 4)
    pairs.write_pairs(apart, tmp_path / "apart.parquet")
    clean = on_files.verify_files(embedded, tmp_path / "apart.parquet", OPTIONS, tmp_path / "out")
    assert clean.shared == 0
    assert "people_in_several_folds" not in clean.metrics()
    assert tables.note_on_folds({"verification": {"mine": clean.metrics()}}) == ""

    np.save(tmp_path / "E.npy", interleaved)
    np.save(tmp_path / "S.npy", same)
    plain = on_files.verify_arrays(tmp_path / "E.npy", tmp_path / "S.npy", OPTIONS)
    assert plain.shared is None
    note = tables.note_on_folds({"verification": {"mine": plain.metrics()}})
    assert "folds of mine have people in common is unknown" in note


@pytest.mark.attack("Numbers", "all pairs of a kind failed", "refused")
@pytest.mark.parametrize(("kept", "kind"), [(True, "impostor"), (False, "genuine")])
def test_a_kind_of_pairs_without_any_faces_is_refused(files, kept: bool, kind: str) -> None:
    _, _, rows, same = files
    rows = np.where(np.repeat(same == kept, 2)[:, None], rows, np.nan)
    with pytest.raises(FormatError, match=f"None of the 50 {kind} pairs"):
        evaluate(rows, same)


@pytest.mark.attack("Numbers", "embeddings of 1e200 or 1e-300", "refused")
@pytest.mark.parametrize("scale", [1e200, 1e-300, 1e-170])
def test_values_without_a_similarity_are_refused(files, scale: float) -> None:
    _, _, rows, same = files
    with pytest.raises(FormatError, match=r"Embedding row \d+ has values up to"):
        evaluate(rows.astype(np.float64) * scale, same)


@pytest.mark.parametrize("scale", [1e-30, 1e30, 1e-18])
def test_any_scale_with_a_similarity_gives_the_same_result(files, scale: float) -> None:
    _, _, rows, same = files
    scaled = evaluate(rows * np.float32(scale), same)
    assert scaled.failures == 1
    np.testing.assert_allclose(scaled.distances, evaluate(rows, same).distances, atol=1e-5)


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


@pytest.mark.parametrize("far", [0.02, 0.019])
def test_a_rate_that_the_pairs_cannot_show_is_nowhere_a_number(files, tmp_path: Path, far: float) -> None:
    """50 impostor pairs: one false accept is 2 %."""
    embedded, listed, _, _ = files
    judged = on_files.verify_files(embedded, listed, on_files.VerifyOptions(far=far, trials=20), tmp_path / "out")
    metrics, target = judged.metrics(), judged.result.rates[0]
    shown = f"{100 * target.tar:.1f} %"
    enough = far == 0.02
    numbers = {"tar", "tar_std", "tar_low", "tar_high", "far"}
    assert numbers & metrics.keys() == (numbers if enough else set())
    assert metrics.get("tar_pairs_needed") == (None if enough else 53)
    found = {"verification": {"mine": metrics}}
    assert ("tar" in summary.headline(found)["mine"]) == enough
    both = tables.verification_table(found).markdown(), tables.rates_table({"mine": judged.details()}).markdown()
    assert all(("needs 53 pairs" in text) != enough for text in both)
    assert (shown in both[0]) == enough
    assert any("TAR" in note for note in tables.headline_numbers(found)[0].notes) == enough
    known = {rate["far"] for rate in judged.details()["rates"] if rate["tar"] is not None}
    assert known == ({0.1, 0.02} if enough else {0.1})


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10**9))
def test_one_rule_says_which_rates_pairs_support(count: int) -> None:
    assert curves.supports_rate(1 / count, count)
    assert curves.pairs_needed(1 / count) == count
    assert not curves.supports_rate(0.999 / count, count)
    assert curves.supports_rate(1.001 / count, count)


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
