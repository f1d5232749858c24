"""Matrices and lists of the MegaFace devkit."""

import numpy as np
import pytest

from facerec.core import FormatError
from facerec.interop import devkit, photo_lists


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


PHOTOS = ["facescrub/Ann/Ann 1.jpg", "megaface/1/1@N00/2_0.jpg"]
FEATURES = np.array([[1, 2], [3, 4]], np.float32)


def test_a_folder_of_features_comes_back_in_order(tmp_path):
    devkit.write_devkit_features(tmp_path, PHOTOS, FEATURES, "mine")
    assert (tmp_path / "facescrub/Ann/Ann 1.jpg_mine.bin").is_file()
    found = devkit.read_devkit_features(tmp_path, PHOTOS[::-1], "mine")
    assert found.tolist() == [[3, 4], [1, 2]]
    assert found.dtype == np.float32
    assert devkit.read_devkit_features(tmp_path, [], "mine").shape == (0, 0)


def test_features_go_to_a_mapped_matrix(tmp_path):
    devkit.write_devkit_features(tmp_path, PHOTOS, FEATURES.astype(np.float64), "mine")
    assert devkit.read_matrix(tmp_path / f"{PHOTOS[0]}_mine.bin").dtype == np.float64
    found = devkit.read_devkit_features(tmp_path, PHOTOS, "mine", out=tmp_path / "x.npy")
    assert isinstance(found, np.memmap)
    assert np.array_equal(np.load(tmp_path / "x.npy"), FEATURES)
    assert np.array_equal(found, FEATURES)
    with pytest.raises(FormatError, match="1 of the 1 features"):
        devkit.read_devkit_features(tmp_path, ["none.jpg"], "mine", out=tmp_path / "y.npy")
    assert not [path for path in tmp_path.iterdir() if "y.npy" in path.name]


@pytest.mark.parametrize(
    ("listed", "lies"),
    [
        ("Ann Lee/Ann Lee_1.jpg", "Ann_Lee/Ann_Lee_1.jpg"),  # InsightFace-v3: underscores
        ("Ann_Lee/Ann_Lee_1.png", "Ann_Lee/Ann_Lee_1.jpg"),  # and .png is .jpg
        ("Ann_Lee/Ann_Lee_1.png", "Ann Lee/Ann Lee_1.JPG"),  # the cropped list, features of uncropped photos
        ("Ann Lee/Ann Lee_1", "Ann Lee/Ann Lee_1.png"),  # no extension
        ("Ann_Lee/Ann_Lee_1.png", "Ann Lee/Ann Lee_1"),
        ("Ann_Lee_1.png", "Ann Lee_1.gif"),
    ],
)
def test_other_spellings_of_a_photo_are_found(tmp_path, listed, lies):
    devkit.write_devkit_features(tmp_path, [lies], FEATURES[:1], "mine")
    assert devkit.read_devkit_features(tmp_path, [listed], "mine").tolist() == [[1, 2]]


def test_what_is_missing_or_damaged_is_named_in_one_error(tmp_path):
    photos = [f"a/{number}.jpg" for number in range(7)]
    devkit.write_devkit_features(tmp_path, photos, np.ones((7, 2), np.float32), "mine")
    (tmp_path / "a/1.jpg_mine.bin").unlink()
    (tmp_path / "a/2.jpg_mine.bin").write_bytes(b"short")
    devkit.write_matrix(np.ones((3, 1), np.float32), tmp_path / "a/3.jpg_mine.bin")
    devkit.write_matrix(np.ones((2, 2), np.float32), tmp_path / "a/4.jpg_mine.bin")
    devkit.write_matrix(np.full((2, 1), np.nan, np.float32), tmp_path / "a/5.jpg_mine.bin")
    with pytest.raises(FormatError, match="5 of the 7 features of 'mine'") as caught:
        devkit.read_devkit_features(tmp_path, photos, "mine")
    for part in ("a/1.jpg has no file 1.jpg_mine.bin", "2.jpg_mine.bin is no devkit matrix", "has 3 numbers", "2 more"):
        assert part in str(caught.value)
    devkit.write_devkit_features(tmp_path, ["b/x 1.png", "b/x_1.jpg"], FEATURES, "mine")
    with pytest.raises(FormatError, match=r"b/x_1\.png may be x 1\.png_mine\.bin or x_1\.jpg_mine\.bin"):
        devkit.read_devkit_features(tmp_path, ["b/x_1.png"], "mine")


@pytest.mark.parametrize("photo", ["../x.png", "/x.png", "a/../../x.png", "", "a\0b"])
def test_no_feature_is_written_or_read_outside_the_folder(tmp_path, photo):
    with pytest.raises(FormatError, match="no safe path"):
        devkit.write_devkit_features(tmp_path, [photo], FEATURES[:1], "mine")
    with pytest.raises(FormatError, match="no safe path"):
        devkit.read_devkit_features(tmp_path, [photo], "mine")


def test_features_and_photos_must_fit(tmp_path):
    with pytest.raises(FormatError, match="do not fit 1 photos"):
        devkit.write_devkit_features(tmp_path, ["a.png"], FEATURES, "mine")
    with pytest.raises(FormatError, match="have one name"):
        devkit.write_devkit_features(tmp_path, ["a.png", "a.png"], FEATURES, "mine")
    assert not list(tmp_path.iterdir())


def test_large_matrices_are_mapped(tmp_path, monkeypatch):
    monkeypatch.setattr(devkit, "_MAPPED", 100)
    monkeypatch.setattr(devkit, "_BLOCK", 10)
    matrix = np.arange(300, dtype=np.float32).reshape(60, 5)
    devkit.write_matrix(matrix[:, ::-1], tmp_path / "scores.bin")
    found = devkit.read_matrix(tmp_path / "scores.bin")
    assert isinstance(found, np.memmap)
    assert np.array_equal(found, matrix[:, ::-1])
    with (tmp_path / "scores.bin").open("ab") as file:
        file.write(b"x")
    with pytest.raises(FormatError, match="promises 60 x 5"):
        devkit.read_matrix(tmp_path / "scores.bin")
    with pytest.raises(FormatError, match="cannot be as large"):
        devkit.write_matrix(np.broadcast_to(np.float32(0), (1, 1 << 30)), tmp_path / "x.bin")


def test_noise_lists_skip_comments_and_take_the_second_column(tmp_path):
    text = "#cite us\nAnn_1.png\n\n12\t3/4@N00/5_0.jpg\nAnn_1.png\n"
    (tmp_path / "noises.txt").write_text(text)
    assert photo_lists.read_noises(tmp_path / "noises.txt") == ["Ann_1.png", "3/4@N00/5_0.jpg", "Ann_1.png"]
    (tmp_path / "noises.txt").write_text("Ann_1.png\n7\t\n")
    with pytest.raises(FormatError, match="line 2"):
        photo_lists.read_noises(tmp_path / "noises.txt")
    with pytest.raises(FormatError, match="cannot read"):
        photo_lists.read_noises(tmp_path / "none.txt")


def test_noise_lists_come_back(tmp_path):
    photo_lists.write_noises(["a b.png", "1/2/3.jpg"], tmp_path / "n.txt", "planted")
    assert (tmp_path / "n.txt").read_text().startswith("#planted\n")
    assert photo_lists.read_noises(tmp_path / "n.txt") == ["a b.png", "1/2/3.jpg"]


@pytest.mark.parametrize("ids", [("Ann", "Bob"), ()])
def test_feature_lists_come_back(tmp_path, ids):
    wrote = photo_lists.FeatureList(("Ann/1.png", "Bob/2.png"), ids)
    photo_lists.write_feature_list(wrote, tmp_path / "list.json")
    assert photo_lists.read_feature_list(tmp_path / "list.json") == wrote


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"path": "x"}', '{"path": [["x"]]}', '{"path": ["x"], "id": ["a", "b"]}']
)
def test_malformed_feature_lists_are_refused(tmp_path, text):
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(FormatError):
        photo_lists.read_feature_list(tmp_path / "list.json")


def test_the_published_lists(mirror):
    noises = photo_lists.read_noises(mirror / "megaface/megaface_noises.txt")
    assert (len(noises), len(set(noises))) == (719, 707)
    assert len(photo_lists.read_noises(mirror / "megaface/facescrub_noises.txt")) == 605
    for name in ("facescrub_features_list.json", "facescrub_uncropped_features_list.json"):
        features = photo_lists.read_feature_list(mirror / "megaface" / name)
        assert (len(features.paths), len(set(features.ids))) == (3530, 80)
