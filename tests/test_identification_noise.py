"""Noise removal: what it does to the features and to the ranks, and what it counts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from facerec.core import FormatError, ParamsError
from facerec.evaluation.identification import identify, on_files
from facerec.evaluation.identification.noise import (
    VARIANTS,
    CleanDistractors,
    facescrub_key,
    megaface_key,
    remove_noise,
)
from facerec.interop import photo_lists
from facerec.store import tables
from facerec.store.embeddings import Embeddings, NoiseMarks, normalise, write_feature_sets, write_marked_sets


def world(seed: int = 0, d: int = 12) -> dict:
    rng = np.random.default_rng(seed)
    labels = np.repeat(["ann", "bob", "cat"], 4)
    centres = rng.normal(size=(3, d)).repeat(4, axis=0)
    probes = normalise(centres + 0.3 * rng.normal(size=centres.shape))
    distractors = normalise(rng.normal(size=(30, d)))
    probes[5] = normalise(rng.normal(size=(1, d)))[0]  # a wrong face under bob's name
    distractors[7] = probes[0]  # ann among the strangers
    return {
        "probes": probes,
        "labels": labels,
        "probe_names": [f"{name}_{k}.png" for k, name in enumerate(labels)],
        "distractors": distractors,
        "distractor_names": [f"1/2/{k}.jpg" for k in range(30)],
        "probe_noise": ["bob_5.png", "nobody_1.png"],
        "distractor_noise": ["1/2/7.jpg", "1/2/99.jpg", "3/2/7.jpg"],
    }


def test_published_variant():
    data = world()
    cleaned = remove_noise(**data)
    assert cleaned.probes.shape == (12, 13)
    assert cleaned.distractors.shape == (30, 13)
    assert (cleaned.probe_counts, cleaned.distractor_counts) == ((2, 1), (3, 1))
    others = np.arange(30) != 7
    assert cleaned.distractors[7, -1] == 100
    assert np.array_equal(cleaned.distractors[others, :-1], data["distractors"][others])
    assert not cleaned.distractors[others, -1].any()
    clean_sum = data["probes"][[4, 6, 7]].sum(axis=0)
    assert cleaned.probes[5, :-1] == pytest.approx(clean_sum / np.linalg.norm(clean_sum), abs=2e-3)
    assert cleaned.probes[5, :-1] != pytest.approx(clean_sum / np.linalg.norm(clean_sum), abs=1e-7)
    assert np.array_equal(np.delete(cleaned.probes[:, :-1], 5, 0), np.delete(data["probes"], 5, 0))


def test_the_draw_is_seeded_and_keeps_to_the_person():
    data = world()
    same, other = remove_noise(**data), remove_noise(**data, seed=1)
    assert np.array_equal(remove_noise(**data).probes, same.probes)
    assert not np.array_equal(other.probes[5], same.probes[5])
    more = remove_noise(**(data | {"probe_noise": ["bob_5.png", "ann_0.png"]}))
    assert np.array_equal(more.probes[5], same.probes[5])


def test_noise_ranks_last_and_the_result_gets_better():
    data = world()
    raw = identify(data["probes"], data["labels"], data["distractors"])
    cleaned = remove_noise(**data)
    better = identify(cleaned.probes, data["labels"], cleaned.distractors)
    assert better.rank1 == 1 > raw.rank1
    assert all(7 not in row["distractors"]["idx"] for row in better.devkit["matches"])


def test_delete_variant():
    data = world()
    cleaned = remove_noise(**data, variant="delete")
    assert cleaned.probes.shape == (11, 12)
    assert cleaned.distractors.shape == (29, 12)
    assert np.array_equal(cleaned.probes, data["probes"][cleaned.kept_probes])
    assert 5 not in cleaned.kept_probes
    assert 7 not in cleaned.kept_distractors
    assert cleaned.metrics() == {
        "probes_listed": 2,
        "probes_matched": 1,
        "distractors_listed": 3,
        "distractors_matched": 1,
    }


def test_centre_variant():
    data = world()
    cleaned = remove_noise(**data, variant="centre")
    centre = normalise(data["probes"][[4, 6, 7]].astype(float).sum(axis=0, keepdims=True))
    assert np.array_equal(cleaned.probes[5, :-1], centre[0])
    assert np.array_equal(cleaned.distractors, remove_noise(**data).distractors)
    everyone = [f"bob_{k}.png" for k in (4, 5, 6, 7)]
    nobody = remove_noise(**(data | {"probe_noise": everyone}), variant="centre")
    assert np.isnan(nobody.probes[4:8]).any(axis=1).all()  # no centre is no feature


def test_zero_variant():
    data = world()
    cleaned = remove_noise(**data, variant="zero")
    assert cleaned.probes.shape == (12, 12)
    assert not cleaned.probes[5].any()
    assert not cleaned.distractors[7].any()
    assert np.array_equal(np.delete(cleaned.distractors, 7, 0), np.delete(data["distractors"], 7, 0))
    strangers = identify(cleaned.probes, data["labels"], cleaned.distractors[7:8]).devkit["matches"]
    assert strangers[0]["distractors"]["score"] == pytest.approx([-1], abs=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_distractors_are_cleaned_slice_by_slice(variant):
    data = world()
    noisy = np.isin(np.arange(30), [0, 7, 8, 29])
    rows = CleanDistractors(data["distractors"], noisy, variant)
    whole = rows[0:30]
    assert whole.shape == rows.shape
    parts = [rows[start : start + 4] for start in range(0, 32, 4)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_names_of_both_lists_are_one():
    for spelling in ("A B/A B_12.JPG", "A_B/A_B_12", "x/A_B_12.jpg", "A B_12.gif", "A_B_12.png"):
        assert facescrub_key(spelling) == "A_B_12.png"
    assert facescrub_key("J. Lo/J. Lo_3") == "J._Lo_3.png"
    assert megaface_key("megaface/1/2@N00/3_0.jpg") == "1/2@N00/3_0.jpg"


def test_an_entry_with_a_folder_is_not_the_same_photo_of_another_person():
    data = world() | {"probe_names": [f"{name}/{k % 4}.jpg" for k, name in enumerate(["Ann", "Bob", "Cat Lee"] * 4)]}
    cleaned = remove_noise(**data | {"probe_noise": ["Ann/1.jpg", "Dan/1.jpg", "x/Cat_Lee/2.png"]}, variant="zero")
    noisy = [data["probe_names"][row] for row in np.flatnonzero(~cleaned.probes.any(axis=1))]
    assert noisy == ["Cat Lee/2.jpg", "Ann/1.jpg"]
    assert cleaned.probe_counts == (3, 2)
    bare = remove_noise(**data | {"probe_noise": ["1.jpg"]}, variant="zero")
    assert (~bare.probes.any(axis=1)).sum() == 3, "a base name alone is meant wherever it is"


def test_the_official_lists(mirror):
    cropped, uncropped = (
        photo_lists.read_feature_list(mirror / f"megaface/facescrub{kind}_features_list.json")
        for kind in ("", "_uncropped")
    )
    spelled = [[facescrub_key(path) for path in each.paths] for each in (cropped, uncropped)]
    assert spelled[0] == spelled[1]
    assert len(set(spelled[0])) == 3530
    noise = photo_lists.read_noises(mirror / "megaface/facescrub_noises.txt")
    features = normalise(np.random.default_rng(0).normal(size=(3530, 4)))
    cleaned = remove_noise(features, cropped.ids, spelled[1], features[:1], ["1/2/3"], noise, ["1/2/3"])
    assert cleaned.probe_counts == (605, 24)
    assert (cleaned.probes[:, :-1] != features).any(axis=1).sum() == 24


def test_missing_faces_stay_missing_and_join_no_sum():
    data = world()
    data["probes"][6] = np.nan
    cleaned = remove_noise(**data)
    assert np.isnan(cleaned.probes[6]).any()
    clean_sum = data["probes"][[4, 7]].sum(axis=0)
    assert cleaned.probes[5, :-1] == pytest.approx(clean_sum / np.linalg.norm(clean_sum), abs=2e-3)


def test_bad_input_is_explained():
    data = world()
    with pytest.raises(FormatError, match="11 probe names for 12 rows"):
        remove_noise(**(data | {"probe_names": data["probe_names"][1:]}))
    with pytest.raises(FormatError, match="29 distractor names for 30 rows"):
        remove_noise(**(data | {"distractor_names": data["distractor_names"][1:]}))
    with pytest.raises(ParamsError, match="noise variant 'nil'"):
        remove_noise(**data, variant="nil")


@pytest.mark.parametrize("variant", VARIANTS)
def test_marks_of_noise_give_the_numbers_of_cleaned_features(variant, tmp_path, monkeypatch):
    """Large distractors are not written a second time; every reader of the directory finds the same."""
    data = world()
    lists = [tmp_path / name for name in ("probes.txt", "distractors.txt")]
    for path, named in zip(lists, (data["probe_noise"], data["distractor_noise"]), strict=True):
        path.write_text("\n".join(named) + "\n")
    probes = Embeddings(data["probes"], data["probe_names"], list(data["labels"]))
    strangers = Embeddings(data["distractors"], data["distractor_names"], [""] * 30)
    write_feature_sets(probes, strangers, tmp_path / "features")
    whole = on_files.denoise_files(tmp_path / "features", *lists, variant, 0, tmp_path / "whole")
    monkeypatch.setattr(on_files, "MARKED_FROM", 1)
    marked = on_files.denoise_files(tmp_path / "features", *lists, variant, 0, tmp_path / "marked")
    assert marked.metrics() == whole.metrics()
    shared = (tmp_path / "features/distractors.npy").stat()
    assert (tmp_path / "marked/uncleaned.npy").stat().st_ino == shared.st_ino
    assert not (tmp_path / "marked/distractors.npy").exists()
    results = [on_files.identify_files(tmp_path / name, (1e-2,), 2, 10, 1) for name in ("whole", "marked")]
    for name, result in zip(("whole", "marked"), results, strict=True):
        on_files.write_identification({"cleaned": result}, tmp_path / f"{name}.scores", variant)
        on_files.export_features(tmp_path / name, "x", tmp_path / f"{name}.devkit")
        on_files.write_devkit_scores(tmp_path / name, tmp_path / f"{name}.matrices")
    for kind in ("scores", "devkit", "matrices"):
        first, second = (
            {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            for folder in (tmp_path / f"whole.{kind}", tmp_path / f"marked.{kind}")
        )
        assert first == second
        assert first


@pytest.mark.attack("Numbers", "marks of noise beyond the rows", "refused; the directory is named")
def test_marks_of_other_features_are_refused(tmp_path):
    data = world()
    probes = Embeddings(data["probes"], data["probe_names"], list(data["labels"]))
    write_feature_sets(probes, probes, tmp_path / "features")
    for rows in ([12], [-1]):
        write_marked_sets(probes, tmp_path / "features", NoiseMarks("zero", np.array(rows)), tmp_path / "marked")
        with pytest.raises(FormatError, match="marks rows as noise that its distractors do not have"):
            on_files.identify_files(tmp_path / "marked", (1e-2,))
    tables.write_parquet(pa.table({"row": [1]}), tmp_path / "marked/noise.parquet")
    with pytest.raises(FormatError, match="does not say which rows are noise"):
        on_files.identify_files(tmp_path / "marked", (1e-2,))
