"""Cleaning finds planted errors of every kind; overlap finds planted people, and few others by chance."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from typer.testing import CliRunner

from facerec import cli
from facerec.core import FormatError, ParamsError
from facerec.curation import cleaning, degraded, overlap, people
from facerec.curation.cleaning import CleaningOptions, FoundErrors, find_errors
from facerec.curation.hashing import difference_hash
from facerec.curation.names import plain_name
from facerec.curation.overlap import find_overlap, overlap_of_sets
from facerec.curation.people import group_people, impostor_cut
from facerec.embedding import Embedder
from facerec.evaluation.verification import on_files
from facerec.evaluation.verification.on_files import VerifyOptions, accuracy_without, verify_files
from facerec.imaging.images import decode, encode_jpeg
from facerec.params import parse_params
from facerec.reporting.decision_sheets import cleaning_sheet, overlap_sheet
from facerec.store import embeddings, pairs, shard_writing, shards
from facerec.store.decisions import Decisions, read_decisions
from facerec.store.embeddings import Embeddings
from facerec.store.model_metadata import Preprocessing
from tests.conftest import ROOT
from tests.models import SIZE, TEMPLATE

DIM = 32


def centres(count: int, seed: int, dim: int = DIM) -> NDArray[np.float64]:
    rows = np.random.default_rng(seed).normal(size=(count, dim))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def photos(middle: NDArray[np.float64], each: int, seed: int, noise: float = 0.1) -> NDArray[np.float32]:
    """`each` embeddings around each row."""
    random = np.random.default_rng((seed, 1))
    rows = np.repeat(middle, each, axis=0)
    return (rows + noise * random.normal(size=rows.shape)).astype(np.float32)


def names(count: int, each: int, prefix: str = "p") -> list[str]:
    return [f"{prefix}{person:03d}" for person in range(count) for _ in range(each)]


def test_a_centre_stays_with_the_majority_and_own_is_without_the_face_itself() -> None:
    middle = centres(2, 1)
    rows = np.concatenate([photos(middle[:1], 6, 1, 0.01), photos(middle[1:], 4, 2, 0.01)])
    found = group_people(rows, ["a"] * 9 + ["b"])
    assert found.names == ["a", "b"]
    assert found.centres[0] @ middle[0] > 0.9  # the mean of 6 and 3 would be at .89
    assert np.linalg.norm(found.centres, axis=1) == pytest.approx(1)
    assert found.own[:6].min() > 0.9
    assert found.own[6:9].max() < 0.7
    assert np.isnan(found.own[9])
    assert found.nearest(0, 2)[0] < 6


def test_blocks_of_people_give_the_same_centres(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = photos(centres(30, 2), 5, 2), names(30, 5)
    shuffled = np.random.default_rng(0).permutation(150)
    whole = group_people(rows[shuffled], [labels[row] for row in shuffled])
    monkeypatch.setattr(people, "_BLOCK", 12)
    parts = group_people(rows[shuffled], [labels[row] for row in shuffled])
    np.testing.assert_array_equal(whole.centres, parts.centres)
    np.testing.assert_array_equal(whole.own, parts.own)


@pytest.mark.parametrize(("dim", "count"), [(16, 150), (64, 400)])
def test_the_cut_lets_about_as_many_pass_by_chance_as_expected(dim: int, count: int) -> None:
    passed = []
    for seed in range(5):
        first, second = (
            group_people(centres(count, 10 * seed + side, dim).astype(np.float32), names(count, 1)) for side in (0, 1)
        )
        cosines = first.centres @ second.centres.T
        cut = impostor_cut(people.count_cosines(cosines), 4.0)
        passed.append(int((cosines >= cut).sum()))
    assert 0.5 <= np.mean(passed) <= 12


def test_the_cut_moves_with_the_network_and_the_number_of_people_and_not_with_true_pairs() -> None:
    def cut(count: int, dim: int, shared: int = 0, expected: float = 1.0) -> float:
        first, second = centres(count, 1, dim), centres(count, 2, dim)
        second[:shared] = first[:shared]
        return impostor_cut(people.count_cosines((first @ second.T).astype(np.float32)), expected)

    assert cut(400, 16) > cut(100, 16) > cut(100, 64)
    assert cut(200, 32, expected=10) < cut(200, 32)
    assert abs(cut(400, 32, shared=40) - cut(400, 32)) < 0.03
    assert impostor_cut(np.zeros(people.BINS, np.int64), 1.0) == 1.0


def test_people_of_both_sets_are_found_by_similarity_and_by_name() -> None:
    train, test = centres(120, 1, 64), centres(150, 2, 64)
    test[:6] = train[10:16]
    left, right = names(120, 4, "id"), names(150, 2, "Person_")
    left[4 * 50 : 4 * 51] = ["Ann M. Smith"] * 4
    right[2 * 140 : 2 * 141] = ["ann_smith"] * 2
    found = find_overlap(group_people(photos(train, 4, 3, 0.03), left), group_people(photos(test, 2, 4, 0.03), right))
    by_name = [each for each in found.candidates if each.by == "name"]
    assert [(found.train.names[each.train], found.test.names[each.test]) for each in by_name] == [
        ("Ann M. Smith", "ann_smith")
    ]
    alike = {(found.train.names[each.train], found.test.names[each.test]) for each in found.candidates} - {
        ("Ann M. Smith", "ann_smith")
    }
    planted = {(f"id{10 + number:03d}", f"Person_{number:03d}") for number in range(6)}
    assert planted <= alike
    assert len(alike) <= 10
    assert [each.similarity for each in found.candidates] == sorted(
        (each.similarity for each in found.candidates), reverse=True
    )
    assert plain_name("7201") == plain_name("n000123") == plain_name("李") == ""


# Cleaning works on pictures too: a network that gives the colours of 4x4 places is good enough for patterns.


def look(faces: Any) -> Any:
    """Embeddings (b, 49) of inputs (b, 3, 32, 32): colours of coarse places without their mean."""
    import torch

    rows = torch.nn.functional.adaptive_avg_pool2d(faces, 4).flatten(1)
    return rows - rows.mean(1, keepdim=True) + 1e-3


JUDGE = Embedder(look, 48, Preprocessing(size=SIZE, template=TEMPLATE, flip="none"), digest="0" * 64)


def pattern(person: int) -> NDArray[np.uint8]:
    values = np.random.default_rng(person).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    return values.repeat(8, axis=0).repeat(8, axis=1)


def photo(person: int, number: int) -> NDArray[np.uint8]:
    """A pattern a person with stripes and noise a photo, whose hash tells photos apart."""
    random = np.random.default_rng((person, number))
    coarse = cv2.resize(random.integers(-70, 70, (16, 16)).astype(np.float32), SIZE, interpolation=cv2.INTER_NEAREST)
    return np.clip(pattern(person) + coarse[..., None], 0, 255).astype(np.uint8)


def write(path: Path, faces: Sequence[tuple[str, str, NDArray[np.uint8]]]) -> shards.Shards:
    """A set of (identity, photo, pixels)."""
    known = sorted({identity for identity, _, _ in faces})
    rows = [
        {"image": encode_jpeg(pixels, 95), "label": known.index(identity), "identity": identity, "source": source}
        for identity, source, pixels in faces
    ]
    shard_writing.write_shards(rows, path, shards.Meta("faces", path.name, size=SIZE, template=TEMPLATE))
    return shards.read_shards(path)


@pytest.fixture(scope="module", autouse=True)
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEREC_SCRATCH", str(tmp_path_factory.mktemp("scratch")))
        for module in (cleaning, overlap):
            patch.setattr(module, "load_embedder", lambda *given, **options: JUDGE)
        yield


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> shards.Shards:
    """40 people of 8 photos with two planted errors of each kind."""
    faces = [
        (f"p{person:02d}", f"p{person:02d}/{number}.jpg", photo(person, number))
        for person in range(40)
        for number in range(8)
    ]
    faces += [("p03", "p03/foreign.jpg", photo(90, 0)), ("p04", "p04/foreign.jpg", photo(20, 50))]
    faces += [
        (f"q{person:02d}", f"q{person:02d}/{number}.jpg", photo(person, 20 + number))
        for person in (7, 8)
        for number in range(4)
    ]
    for person in (10, 11):
        again = decode(encode_jpeg(photo(person, 3), 60))
        faces.append((f"p{person}", f"p{person}/copy.jpg", again))
    return write(tmp_path_factory.mktemp("sets") / "spoiled", faces)


@pytest.fixture(scope="module")
def errors(spoiled: shards.Shards) -> FoundErrors:
    return find_errors(spoiled.path, "judge.pt")


def test_planted_errors_are_found_and_little_else(errors: FoundErrors) -> None:
    found = {(each.reason, each.photo or each.identity): each for each in errors.found}
    assert {("two-names", "q07"), ("two-names", "q08")} <= found.keys()
    assert found["two-names", "q07"].like == "p07"
    copies = {key[1] for key in found if key[0] == "duplicate"}
    assert len(copies) == 2
    assert all(name in {"p10/copy.jpg", "p10/3.jpg", "p11/copy.jpg", "p11/3.jpg"} for name in copies)
    assert {("foreign", "p03/foreign.jpg"), ("foreign", "p04/foreign.jpg")} <= found.keys()
    assert found["foreign", "p04/foreign.jpg"].like == "p20"
    assert len(found) <= 12
    assert all(each.action == ("merge" if each.identity else "leave-out") for each in errors.found)


def test_counts_are_those_after_the_decisions_that_a_person_left(errors: FoundErrors) -> None:
    decided = errors.decisions({"model": "x"})
    found = errors.metrics(decided)
    photos_out = sum(bool(each.photo) for each in errors.found)
    assert (found["identities"], found["images"]) == (42, 332)
    merged = len(errors.found) - photos_out
    assert (found["identities_c"], found["images_c"]) == (42 - merged, 332 - photos_out)
    assert found["two_names"] == merged >= 2
    kept = Decisions(tuple(replace(each, action="keep") for each in decided.decisions))
    assert errors.metrics(kept)["images_c"] == 332
    assert {"cut_two_names", "cut_unusable", "cut_duplicate", "cut_foreign"} <= found.keys()


def test_faces_made_bad_are_told_from_good_ones() -> None:
    random = np.random.default_rng(0)

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """People differ while they have detail and light; without it all are alike."""
        sharp = np.array([cv2.Laplacian(image, cv2.CV_32F).std() for image in images])[:, None]
        clear = (sharp > 30) & (images.mean((1, 2, 3))[:, None] > 40)
        own = images.reshape(len(images), -1)[:, ::7].astype(np.float32) - images.mean()
        return np.asarray(own * clear + alike * ~clear + random.normal(0, 20, own.shape), np.float32)

    alike = 200 * np.random.default_rng(5).normal(size=439)
    good = np.stack([photo(person, 1) for person in range(60)])
    unit = embeddings.normalise(embed(good))
    bad = degraded.bad_faces(good, unit, embed)
    assert list(bad) == ["blurred", "dark", "streaked"]
    blurred = np.stack([cv2.GaussianBlur(face, (0, 0), 6) for face in good])
    over, _ = degraded.worst_likeness(embeddings.normalise(embed(blurred)), bad)
    assert (over >= 0).mean() > 0.9
    assert (degraded.worst_likeness(unit, bad)[0] < 0).mean() > 0.9
    blind = degraded.bad_faces(good, unit, lambda images: embed(good))  # a network that sees no difference
    assert (degraded.worst_likeness(unit, blind)[0] < 0).mean() > 0.9


def test_a_hash_survives_compression_and_tells_photos_apart() -> None:
    first, other = photo(1, 1), photo(1, 2)
    again = decode(encode_jpeg(first, 50))

    def apart(one: NDArray[np.uint8], two: NDArray[np.uint8]) -> int:
        return int(np.bitwise_count(difference_hash(one) ^ difference_hash(two)).sum())

    assert apart(first, again) <= 30 < CleaningOptions.bits < apart(first, other)


def test_kinds_that_are_not_asked_for_are_not_looked_for(spoiled: shards.Shards) -> None:
    found = find_errors(spoiled.path, "judge.pt", CleaningOptions(kinds=("duplicate",)))
    assert {each.reason for each in found.found} == {"duplicate"}


def test_sheets_show_every_kind(errors: FoundErrors, spoiled: shards.Shards) -> None:
    sheet = cleaning_sheet(errors)
    assert sheet.shape[1:] == (1366, 3)
    assert (cleaning_sheet(errors) == sheet).all()
    shared = overlap_of_sets([spoiled.path], spoiled.path, "judge.pt")
    assert overlap_sheet(shared).shape[1:] == (1366, 3)


def test_a_set_without_names_or_people_is_refused(tmp_path: Path) -> None:
    few = write(tmp_path / "few", [("a", f"a/{number}.jpg", photo(1, number)) for number in range(9)])
    with pytest.raises(FormatError, match="few holds too little to clean"):
        find_errors(few.path, "judge.pt")


def test_overlap_of_sets_counts_both_sides(spoiled: shards.Shards, tmp_path: Path) -> None:
    faces = [("guest", f"guest/{number}.jpg", photo(5, 30 + number)) for number in range(3)]
    faces += [
        (f"s{person}", f"s{person}/{number}.jpg", photo(person, number))
        for person in range(200, 230)
        for number in range(2)
    ]
    bench = write(tmp_path / "bench", faces)
    shared = overlap_of_sets([spoiled.path], bench.path, "judge.pt")
    decided = shared.decisions({"model": "x"})
    assert "guest" in decided.likes("overlap")
    assert [each.identity for each in decided.decisions if each.like == "guest"] == ["p05"]
    found = shared.metrics(decided)
    left = len(decided.decisions)
    assert (found["identities"], found["identities_c"]) == (42, 42 - left)
    assert found["images"] - found["images_c"] >= 8
    assert found["test_identities"] - found["test_identities_c"] == len(decided.likes("overlap"))
    kept = Decisions(tuple(replace(each, action="keep") for each in decided.decisions))
    assert shared.metrics(kept)["identities_c"] == 42
    assert kept.likes("overlap") == set()


def test_accuracy_without_people_is_that_of_the_other_pairs(tmp_path: Path) -> None:
    middle = centres(20, 3)
    rows = photos(middle, 4, 3, 0.35)
    found = Embeddings(rows, [f"{name}/{k}.jpg" for k, name in enumerate(names(20, 4))], names(20, 4))
    embeddings.write_embeddings(found, tmp_path / "e.npy")
    random = np.random.default_rng(1)
    first = random.integers(0, 80, 400)
    same = np.arange(400) % 2 == 0
    second = np.where(same, first // 4 * 4 + random.integers(0, 4, 400), (first + 4 * random.integers(1, 20, 400)) % 80)
    pairs.write_pairs(pairs.Pairs(first, second, same), tmp_path / "pairs.parquet")
    options = VerifyOptions(trials=20)
    judged = verify_files(tmp_path / "e.npy", tmp_path / "pairs.parquet", options, tmp_path / "scores")
    whole = accuracy_without(tmp_path / "scores", [], options)
    assert whole["accuracy"] == whole["accuracy_c"] == pytest.approx(judged.result.accuracy)
    assert whole["pairs"] == whole["pairs_c"] == 400
    part = accuracy_without(tmp_path / "scores", ["p003", "p004"], options)
    people_of = np.array(names(20, 4))
    left = ~(np.isin(people_of[first], ["p003", "p004"]) | np.isin(people_of[second], ["p003", "p004"]))
    assert part["pairs_c"] == left.sum()
    right = (judged.result.distances < judged.result.pair_thresholds) == judged.result.same
    folds = [right[left & (judged.result.pair_folds == fold)].mean() for fold in range(10)]
    assert part["accuracy_c"] == pytest.approx(np.mean(folds))
    assert part["accuracy_c_low"] <= part["accuracy_c"] <= part["accuracy_c_high"]
    with pytest.raises(FormatError, match="all pairs"):
        accuracy_without(tmp_path / "scores", names(20, 1), options)


def test_the_commands_write_decisions_and_a_sheet(spoiled: shards.Shards, tmp_path: Path) -> None:
    (tmp_path / "x.pt").touch()
    out, sheet = tmp_path / "out.yaml", tmp_path / "sheet.png"
    options = ["--model", str(tmp_path / "x.pt"), "--out", str(out), "--sheet", str(sheet), "--json"]
    done = CliRunner().invoke(cli.app, ["clean", str(spoiled.path), *options])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["duplicate"] == 2
    assert len(read_decisions(out).decisions) >= 6
    assert sheet.stat().st_size > 10_000
    done = CliRunner().invoke(cli.app, ["overlap", str(spoiled.path), str(spoiled.path), *options])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["identities_c"] == 0
    assert read_decisions(out).made["test"] == "spoiled"
    with pytest.raises(ParamsError, match="a sheet is written as"):
        CliRunner().invoke(cli.app, ["clean", str(spoiled.path), *options[:5], "x.gif"], catch_exceptions=False)


@pytest.mark.slow
def test_errors_planted_in_real_photos_are_found(tmp_path: Path) -> None:
    """A slice of bench/cleaning.py, whose figures are in docs/cleaning.md."""
    mirror = os.environ.get("FACEREC_MIRROR", "")
    if not Path(mirror, "celeba-299.tar").is_file():
        pytest.skip("FACEREC_MIRROR has no celeba-299.tar")
    command = [sys.executable, str(ROOT / "bench/cleaning.py"), "12"]
    place = os.environ | {"PYTHONPATH": str(ROOT), "FACEREC_SCRATCH": str(tmp_path / "scratch")}
    done = subprocess.run(command, cwd=tmp_path, env=place, capture_output=True, text=True, timeout=1200, check=True)
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.startswith(cleaning.KINDS)}
    assert rows.keys() == set(cleaning.KINDS)
    assert float(rows["two-names"][3]) == 1.0
    assert float(rows["foreign"][3]) >= 0.8
    assert float(rows["unusable"][4]) >= 0.6  # for any reason
    assert float(rows["duplicate"][3]) >= 0.4


def test_the_stages_write_decisions_counts_and_sheets(
    spoiled: shards.Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages import clean, disjoint, overlap  # stage scripts use the folder they run in

    for place in ("train/synth_people", "test/synth_lfw"):
        shutil.copytree(spoiled.path, tmp_path / "data/faces" / place)
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    judge = {"model": "data/raw/mobilefacenet_foamliu_pt", "reviewed": None}
    raw |= {"download": {"mobilefacenet_foamliu_pt": {}}, "clean": {"synth_people": judge}}
    raw |= {"overlap": {"synth_lfw": judge | {"faces": "synth_lfw"}}}
    run = parse_params(raw)
    monkeypatch.chdir(tmp_path)
    clean.clean(run, "synth_people")
    overlap.overlap(run, "synth_lfw")
    folder = tmp_path / "data/decisions"
    assert len(read_decisions(folder / "clean/synth_people.yaml").decisions) >= 6
    shared = read_decisions(folder / "overlap/synth_lfw.yaml")
    assert len(shared.decisions) == 42
    assert (
        json.loads((tmp_path / "reports/metrics/clean/synth_people.json").read_text())["synth_people"]["duplicate"] == 2
    )
    assert json.loads((tmp_path / "reports/metrics/overlap/synth_lfw.json").read_text())["synth_lfw"]["images_c"] == 0
    assert (tmp_path / "reports/sheets/clean/synth_people.jpg").is_file()
    assert (tmp_path / "reports/sheets/overlap/synth_lfw.jpg").is_file()
    seen: list[Any] = []
    monkeypatch.setattr(
        on_files, "accuracy_without", lambda scores, names, options: seen.append(names) or {"pairs_c": 1}
    )
    disjoint.disjoint(run, "synth_lfw")
    assert seen == [shared.likes("overlap")]
    assert json.loads((tmp_path / "reports/metrics/disjoint/synth_lfw.json").read_text()) == {
        "synth_lfw": {"pairs_c": 1}
    }
