"""Templates: pooling and scores equal brute force, and a list or matrix that does not fit ends in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facerec.core import FormatError
from facerec.evaluation.templates import pool_templates, pooling, score_pairs
from facerec.interop import template_lists
from tests.template_world import make_world, pool_by_hand, write_lists


def test_pooling_equals_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world()
    for faces in (4096, 7, 1):  # at once
        monkeypatch.setattr(pooling, "_FACES", faces)
        for unit in (False, True):
            for scores in (None, world.scores):
                weights = pooling.face_weights(world.features, scores, unit)
                found = pool_templates(world.features, world.template, world.medium, weights)
                expected = pool_by_hand(world, weights)
                assert found.ids.tolist() == list(expected)
                np.testing.assert_allclose(found.matrix, np.stack(list(expected.values())), atol=1e-14)
                assert found.media == len({*zip(world.template.tolist(), world.medium.tolist(), strict=True)})


def test_a_weight_is_of_length_one_or_of_the_detector() -> None:
    features = np.array([[3.0, 4.0], [0.0, 2.0], [0.0, 0.0]], np.float32)
    assert pooling.face_weights(features, None, unit=False).tolist() == [1, 1, 1]
    assert pooling.face_weights(features, [0.5, 1, 1], unit=True).tolist() == [0.1, 0.5, 0]


def test_a_missing_face_is_left_out_of_its_medium() -> None:
    features = np.array([[2.0, 0], [np.nan, 0], [0, 0], [0, 1.0], [np.nan, np.nan]], np.float32)
    found = pool_templates(features, [1, 1, 1, 1, 2], [5, 5, 5, 6, 7])
    np.testing.assert_allclose(found.matrix[0], np.array([2, 1]) / np.sqrt(5))
    assert np.isnan(found.matrix[1]).all()
    assert found.media == 2
    assert score_pairs(found.matrix, np.array([0, 0, 1]), np.array([0, 1, 1])).tolist() == pytest.approx([1, -1, -1])


def test_scores_equal_brute_force_for_many_pairs_and_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(1)
    templates = pool_templates(world.features, world.template, world.medium)
    first, second = (templates.rows([pair[side] for pair in world.pairs]) for side in (0, 1))
    shuffled = np.random.default_rng(0).permutation(len(first))
    first, second = first[shuffled], second[shuffled]
    expected = (templates.matrix[first] * templates.matrix[second]).sum(axis=1)
    for dense in (0, 64):
        monkeypatch.setattr(pooling, "_DENSE", dense)
        for size in (1, 200, 1 << 21):
            monkeypatch.setattr(pooling, "_CELLS", size)
            monkeypatch.setattr(pooling, "_PAIRS", size)
            np.testing.assert_allclose(score_pairs(templates.matrix, first, second), expected, atol=1e-14)


def test_a_template_that_is_not_listed_is_named() -> None:
    templates = pool_templates(np.eye(2), [3, 9], [1, 1])
    with pytest.raises(
        FormatError, match="template 4 is not in the list of templates and media, which has 2 templates"
    ):
        templates.rows([3, 4])
    with pytest.raises(FormatError, match="template 10 is not in the list"):
        templates.rows([10])


@pytest.mark.parametrize(
    ("features", "template", "sentence"),
    [
        (np.eye(3), [1, 1], r"3 rows of features do not fit a list of 2 templates"),
        (np.full((2, 2), np.inf), [1, 1], "row 0 of the features, counted from 0, holds an infinite value"),
        (np.eye(2, dtype=np.int64), [1, 1], "features must be a float matrix with a row a face, not int64"),
        (np.zeros((0, 2)), [], "features must be a float matrix"),
    ],
)
def test_features_that_make_no_sense_are_refused(features: np.ndarray, template: list[int], sentence: str) -> None:
    with pytest.raises(FormatError, match=sentence):
        pool_templates(features, template, template)
    with pytest.raises(FormatError, match="the weight of face 2 is no finite number"):
        pool_templates(np.eye(2), [1, 1], [1, 1], [1, np.nan])


def test_the_published_lists_are_read(tmp_path: Path) -> None:
    world = make_world()
    folder = write_lists(world, tmp_path / "IJBC" / "meta")
    found = template_lists.find_template_lists(tmp_path / "IJBC")
    assert found == template_lists.find_template_lists(folder)
    media = template_lists.read_media(found.media)
    assert (media.names, media.template.tolist(), media.medium.tolist()) == (
        world.names,
        world.template.tolist(),
        world.medium.tolist(),
    )
    assert found.landmarks is not None
    assert found.pairs is not None
    assert found.probes is not None
    assert list(found.galleries) == ["G1", "G2"]
    faces = template_lists.read_landmarks(found.landmarks)
    assert faces.names == world.names
    assert faces.landmarks.shape == (len(world.names), 5, 2)
    assert faces.landmarks[0].tolist() == [[30.5, 51.25], [65.5, 51], [48, 71.5], [33.5, 92.25], [62.5, 92]]
    np.testing.assert_array_equal(faces.scores, world.scores)
    pairs = template_lists.read_template_pairs(found.pairs)
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.same.tolist(), strict=True)) == world.pairs
    probes = template_lists.read_subjects(found.probes)
    assert probes.template.tolist() == sorted(world.probes)
    assert probes.subject.tolist() == [world.subjects[number] for number in sorted(world.probes)]


def test_the_galleries_of_ijb_b_have_other_names(tmp_path: Path) -> None:
    write_lists(make_world(), tmp_path, "ijbb")
    for number in "12":
        (tmp_path / f"ijbb_1N_gallery_G{number}.csv").rename(tmp_path / f"ijbb_1N_gallery_S{number}.csv")
    assert list(template_lists.find_template_lists(tmp_path).galleries) == ["S1", "S2"]


def test_a_folder_without_lists_or_with_two_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"has no list of templates and media, \*_face_tid_mid.txt"):
        template_lists.find_template_lists(tmp_path)
    for name in ("ijbb", "ijbc"):
        write_lists(make_world(), tmp_path, name)
    with pytest.raises(
        FormatError, match=r"ijbb_face_tid_mid\.txt and ijbc_face_tid_mid\.txt; keep the lists of one data set"
    ):
        template_lists.find_template_lists(tmp_path)
    with pytest.raises(FormatError, match="is no folder"):
        template_lists.find_template_lists(tmp_path / "ijbb_face_tid_mid.txt")


POINTS = "1 2 3 4 5 6 7 8 9 10"


@pytest.mark.parametrize(
    ("reader", "text", "sentence"),
    [
        ("read_media", "1.jpg 1 2\n1.jpg 1\n", "lines 'photo template medium' .*Row #2: Expected 3 columns, got 2"),
        ("read_media", "1.jpg 1 2\n1.jpg x 2\n", "Row #2.*invalid value 'x'"),
        ("read_media", "", "Empty CSV file"),
        (
            "read_landmarks",
            f"1.jpg {POINTS} 0.5\n2.jpg {POINTS} nan\n",
            "line 2: a landmark or score is no finite number",
        ),
        ("read_template_pairs", "1 2 1\n1 3 2\n", "line 2: the label of a pair is 1 or 0, not 2"),
        ("read_template_pairs", "1 2 1\n1 99999999999 0\n", "invalid value '99999999999'"),
        ("read_subjects", "TEMPLATE_ID,SUBJECT_ID,F\n4,7,a\n4,8,a\n", "line 3: template 4 is of the subjects 7 and 8"),
        ("read_subjects", "TEMPLATE_ID\n4\n", "Expected 2 columns"),
        ("read_subjects", "TEMPLATE_ID,SUBJECT_ID\n", "lists nothing"),
    ],
)
def test_a_damaged_list_is_refused_with_its_line(tmp_path: Path, reader: str, text: str, sentence: str) -> None:
    (tmp_path / "list").write_text(text)
    with pytest.raises(FormatError, match=sentence):
        getattr(template_lists, reader)(tmp_path / "list")
