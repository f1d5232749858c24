"""Matrices and lists of the MegaFace devkit."""

import numpy as np
import pytest

from facerec.errors import FormatError
from facerec.formats import devkit, lists


def test_a_feature_file_has_the_published_bytes(tmp_path):
    devkit.write_matrix(np.array([[1.0], [0.5]], np.float32), tmp_path / "a.bin")
    data = (tmp_path / "a.bin").read_bytes()
    assert np.frombuffer(data, "<i4", 4).tolist() == [2, 1, 4, 5]
    assert np.frombuffer(data, "<f4", offset=16).tolist() == [1, 0.5]


@pytest.mark.parametrize(("dtype", "kind", "width"), [(np.float32, 5, 4), (np.float64, 6, 8)])
def test_matrices_come_back(tmp_path, dtype, kind, width):
    matrix = np.arange(6, dtype=dtype).reshape(2, 3) / 7
    devkit.write_matrix(matrix, tmp_path / "scores.bin")
    header = np.frombuffer((tmp_path / "scores.bin").read_bytes(), "<i4", 4)
    assert header.tolist() == [2, 3, 3 * width, kind]
    found = devkit.read_matrix(tmp_path / "scores.bin")
    assert found.dtype == dtype
    assert np.array_equal(found, matrix)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        np.array([2, 1, 4, 7], "<i4").tobytes() + bytes(8),
        np.array([2, 1, 8, 5], "<i4").tobytes() + bytes(8),
        np.array([-2, 1, 4, 5], "<i4").tobytes(),
        np.array([2, 1, 4, 5], "<i4").tobytes() + bytes(7),
        np.array([2, 1, 4, 5], "<i4").tobytes() + bytes(9),
    ],
)
def test_other_files_are_refused(tmp_path, data):
    (tmp_path / "x.bin").write_bytes(data)
    with pytest.raises(FormatError, match=r"x\.bin"):
        devkit.read_matrix(tmp_path / "x.bin")
    with pytest.raises(FormatError, match="cannot read"):
        devkit.read_matrix(tmp_path / "none.bin")


def test_only_float_matrices_are_written(tmp_path):
    for wrong in (np.zeros((2, 2), np.int32), np.zeros(3, np.float32)):
        with pytest.raises(FormatError, match="2-d float32 or float64"):
            devkit.write_matrix(wrong, tmp_path / "x.bin")


def test_a_folder_of_features_comes_back_in_order(tmp_path):
    photos = ["facescrub/Ann/Ann 1.jpg", "megaface/1/1@N00/2_0.jpg"]
    features = np.array([[1, 2], [3, 4]], np.float32)
    devkit.write_features(tmp_path, photos, features, "mine")
    assert (tmp_path / "facescrub/Ann/Ann 1.jpg_mine.bin").is_file()
    assert devkit.read_features(tmp_path, photos[::-1], "mine").tolist() == [[3, 4], [1, 2]]
    devkit.write_matrix(np.zeros((3, 1), np.float32), tmp_path / "odd.png_mine.bin")
    with pytest.raises(FormatError, match="different lengths"):
        devkit.read_features(tmp_path, [*photos, "odd.png"], "mine")
    for unsafe in ("../x.png", "/x.png"):
        with pytest.raises(FormatError, match="no safe path"):
            devkit.write_features(tmp_path, [unsafe], features[:1], "mine")


def test_noise_lists_skip_comments_and_take_the_second_column(tmp_path):
    text = "#cite us\nAnn_1.png\n\n12\t3/4@N00/5_0.jpg\nAnn_1.png\n"
    (tmp_path / "noises.txt").write_text(text)
    assert lists.read_noises(tmp_path / "noises.txt") == ["Ann_1.png", "3/4@N00/5_0.jpg", "Ann_1.png"]
    (tmp_path / "noises.txt").write_text("Ann_1.png\n7\t\n")
    with pytest.raises(FormatError, match="line 2"):
        lists.read_noises(tmp_path / "noises.txt")
    with pytest.raises(FormatError, match="cannot read"):
        lists.read_noises(tmp_path / "none.txt")


def test_noise_lists_come_back(tmp_path):
    lists.write_noises(["a b.png", "1/2/3.jpg"], tmp_path / "n.txt", "planted")
    assert (tmp_path / "n.txt").read_text().startswith("#planted\n")
    assert lists.read_noises(tmp_path / "n.txt") == ["a b.png", "1/2/3.jpg"]


@pytest.mark.parametrize("ids", [("Ann", "Bob"), ()])
def test_feature_lists_come_back(tmp_path, ids):
    wrote = lists.FeatureList(("Ann/1.png", "Bob/2.png"), ids)
    lists.write_features(wrote, tmp_path / "list.json")
    assert lists.read_features(tmp_path / "list.json") == wrote


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"path": "x"}', '{"path": [["x"]]}', '{"path": ["x"], "id": ["a", "b"]}']
)
def test_malformed_feature_lists_are_refused(tmp_path, text):
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(FormatError):
        lists.read_features(tmp_path / "list.json")


def test_the_published_lists(mirror):
    noises = lists.read_noises(mirror / "megaface/megaface_noises.txt")
    assert (len(noises), len(set(noises))) == (719, 707)
    assert len(lists.read_noises(mirror / "megaface/facescrub_noises.txt")) == 605
    for name in ("facescrub_features_list.json", "facescrub_uncropped_features_list.json"):
        features = lists.read_features(mirror / "megaface" / name)
        assert (len(features.paths), len(set(features.ids))) == (3530, 80)
