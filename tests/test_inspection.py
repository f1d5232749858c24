"""Inspecting says what anything is, or in one sentence that it does not know or that it is damaged."""

import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from facerec.core import FacerecError, FormatError
from facerec.imaging import images, sheets
from facerec.inspection import PICTURES, inspect
from facerec.interop import devkit, photo_lists, verification_packs
from facerec.store import embeddings, pairs, shards
from tests import packs as drawn

LOST = shards.Failure("x", "x", "x", "x")
GOLDEN = Path(__file__).parent / "golden/recordio"


def facts(path):
    """What is found, after checking that it is plain JSON."""
    found = inspect(path)
    json.dumps(found.facts, allow_nan=False)
    return {"kind": found.kind, **found.facts}


def photo_folder(folder, people=(3, 1)):
    for who, count in enumerate(people):
        (folder / f"p{who}").mkdir(parents=True)
        for number in range(count):
            (folder / f"p{who}/{number}.jpg").write_bytes(drawn.jpeg(10 * who + number, (120, 100)))
    (folder / "readme.txt").write_text("hello")
    return folder


def check_photos(found):
    assert (found["images"], found["identities"], found["sizes"]) == (4, 2, {"120x100": 4})
    assert found["images_per_identity"] == {"min": 1, "median": 2.0, "max": 3}
    assert (found["labels"], found["formats"]) == ({"min": 0, "max": 1}, {"JPEG": 4})
    assert [name[-8:] for name in found["names"]] == ["p0/0.jpg", "p0/1.jpg", "p0/2.jpg", "p1/0.jpg"]


def test_photos_in_a_folder_and_in_archives(tmp_path):
    folder = photo_folder(tmp_path / "photos")
    found = facts(folder)
    check_photos(found)
    assert (found["kind"], found["other_files"]) == ("photo folder", 1)
    with tarfile.open(tmp_path / "photos.tgz", "w:gz") as tar:
        tar.add(folder, "photos")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as file:
        for path in folder.rglob("*.jpg"):
            file.write(path, path.relative_to(folder))
    for name in ("photos.tgz", "photos.zip"):
        found = facts(tmp_path / name)
        check_photos(found)
        assert (found["kind"], found["bytes"]) == ("archive of photos", (tmp_path / name).stat().st_size)


def test_face_shards(tmp_path):
    drawn.face_set(tmp_path / "faces", [(i % 2, f"p{i % 2}", f"p{i % 2}/{i}.jpg") for i in range(5)], lost=[LOST])
    found = facts(tmp_path / "faces")
    assert (found["kind"], found["dataset"], found["licence"]) == ("face shards", "drawn", "not stated")
    assert (found["size"], found["template"], found["colour"]) == ("112x112", "arcface-112", "RGB")
    assert (found["images"], found["identities"], found["rungs"]) == (5, 2, {"pack": 5})
    assert found["photos_without_face"] == 1
    assert found["colour_check"].endswith("as skin in RGB")


def test_photo_shards_and_a_folder_of_sets(tmp_path):
    drawn.face_set(tmp_path / "sets/a", [(0, "A", "A/1.jpg"), (-1, "", "2.jpg")], kind="photos")
    found = facts(tmp_path / "sets/a")
    assert (found["kind"], found["images"], found["images_without_identity"]) == ("photo shards", 2, 1)
    drawn.face_set(tmp_path / "sets/b", [])
    found = facts(tmp_path / "sets")
    assert (found["images"], found["kinds"]) == ({"a": 2, "b": 0}, ["faces", "photos"])
    assert facts(tmp_path / "sets/b")["images"] == 0


def test_packs_and_their_parts(tmp_path):
    drawn.rec(tmp_path / "pack", {0: 3, 1: 2})
    found = facts(tmp_path / "pack")
    assert (found["kind"], found["images"], found["identities"]) == ("RecordIO file", 5, 2)
    drawn.verification(tmp_path / "pack/lfw.bin", [True, False])
    drawn.bcolz(tmp_path / "pack/cfp", [True, False, False])
    found = facts(tmp_path / "pack")
    assert found["members"] == ["train.rec", "cfp", "lfw.bin"]
    assert (found["kind"], found["other_members"]) == ("pack", {"cfp": 6, "lfw.bin": 4})
    found = facts(tmp_path / "pack/train.rec")
    assert (found["records"], found["header_record"], found["property"]) == (8, True, "2 identities, 112x112")
    found = facts(tmp_path / "pack/lfw.bin")
    assert (found["kind"], found["pairs"], found["same"]) == ("verification pack", 2, 1)
    found = facts(tmp_path / "pack/cfp")
    assert (found["kind"], found["pairs"], found["different"]) == ("bcolz folder", 3, 2)
    assert (found["images"], found["formats"]) == (6, {"PNG": 6})
    assert facts(tmp_path / "pack/cfp_list.npy")["same"] == 1
    assert facts(tmp_path / "pack/property")["identities"] == 2
    (tmp_path / "pack/train.idx").unlink()
    assert facts(tmp_path / "pack/train.rec")["index"] is False


def test_swapped_colours_are_noticed(tmp_path):
    swapped = [images.encode_jpeg(drawn.face(i)[..., ::-1].copy()) for i in range(6)]
    verification_packs.write_bin(tmp_path / "x.bin", swapped, [True] * 3)
    assert "red and blue may be swapped" in facts(tmp_path / "x.bin")["colour_check"]
    grey = images.encode_jpeg(np.full((112, 112, 3), 90, np.uint8))
    verification_packs.write_bin(tmp_path / "x.bin", [bytes(bytearray(grey)) for _ in range(6)], [True] * 3)
    assert facts(tmp_path / "x.bin")["colour_check"].endswith("it cannot be told")


def test_the_oldest_verification_pack():
    found = facts(GOLDEN / "py2_proto2.bin")
    assert (found["kind"], found["pairs"], found["unreadable"]) == ("verification pack", 1, 2)


def test_devkit_matrices_and_folders_of_features(tmp_path):
    feature = np.array([[3], [4]], np.float32)
    devkit.write_devkit_features(tmp_path / "out", ["a/x.jpg", "b/y.jpg"], feature.T.repeat(2, 0), "net")
    found = facts(tmp_path / "out")
    assert (found["kind"], found["files"], found["shape"]) == ("folder of devkit features", 2, [2, 1])
    assert (found["algorithms"], found["norm_of_the_first"]) == ({"net": 2}, 5.0)
    assert facts(tmp_path / "out/a/x.jpg_net.bin")["norm"] == 5.0
    devkit.write_matrix(np.eye(3), tmp_path / "scores.bin")
    found = facts(tmp_path / "scores.bin")
    assert (found["kind"], found["shape"], found["max"]) == ("devkit matrix", [3, 3], 1.0)


def test_embeddings_and_features(tmp_path):
    matrix = np.array([[3, 4], [0, 1], [np.nan, np.nan]], np.float32)
    made = embeddings.Embeddings(matrix, ["a", "b", "c"], ["A", "A", ""])
    embeddings.write_embeddings(made, tmp_path / "x.npy")
    found = facts(tmp_path / "x.npy")
    assert (found["embeddings"], found["dimensions"], found["without_face"]) == (3, 2, 1)
    assert (found["norms"], found["identities"]) == ({"min": 1.0, "median": 3.0, "max": 5.0}, 1)
    assert facts(tmp_path / "x.parquet")["kind"] == "rows of embeddings"
    embeddings.write_feature_sets(made, made, tmp_path / "features")
    assert facts(tmp_path / "features")["probes"] == 3
    np.save(tmp_path / "y.npy", np.array([[1, np.inf]]))
    assert facts(tmp_path / "y.npy")["finite"] is False


def test_tables(tmp_path):
    rows = np.array([0, -1])
    pairs.write_pairs(pairs.Pairs(rows, rows, np.array([True, False])), tmp_path / "pairs.parquet")
    found = facts(tmp_path / "pairs.parquet")
    assert (found["kind"], found["pairs"], found["without_face"]) == ("table of pairs", 2, 1)
    drawn.face_set(tmp_path / "faces", [], lost=[LOST])
    assert facts(tmp_path / "faces/failures.parquet")["kind"] == "table of photos without a face"
    pq.write_table(pa.table({"x": [1, 2]}), tmp_path / "x.parquet")
    assert facts(tmp_path / "x.parquet")["columns"] == ["x"]


def test_a_table_of_detections(tmp_path):
    from facerec.detection import table

    row = dict.fromkeys(table.SCHEMA.names, 0)
    row |= {"source": "a.jpg", "box": [0.0] * 4, "landmarks": [0.0] * 10, "error": ""}
    made = pa.Table.from_pylist([row], table.SCHEMA)
    pq.write_table(made, tmp_path / "x.parquet")
    found = facts(tmp_path / "x.parquet")
    assert (found["kind"], found["photos"], found["faces"]) == ("table of detections", 1, 1)


@pytest.mark.parametrize(
    ("name", "text", "kind", "wanted"),
    [
        ("pairs.txt", "1\t1\nA\t1\t2\nA\t2\tB\t1\n", "pairs.txt of LFW", {"pairs": 2, "photos": 3}),
        ("list.txt", "a/1.jpg 0\na/2.jpg  0\nb/x y.jpg\t5\n", "list file of photos and labels", {"identities": 2}),
        ("pairs.txt", "a/1.jpg a/2.jpg 1\na/1.jpg b/1.jpg 0\n", "list of pairs", {"pairs": 2, "same": 1}),
        ("pairs_CALFW.txt", "A_1.jpg 1\nA_2.jpg 1\nA_1.jpg 0\nB_1.jpg 0\n", "pairs of CALFW or CPLFW", {"same": 1}),
        ("x_noises.txt", "# rules\na_1.png\n1\tb/2.jpg\n", "noise list", {"entries": 2}),
        ("all.txt", "a_1.png\nb_2.png\n", "list of photos", {"entries": 2}),
        ("info.txt", "A/1.jpg 1,2.5,3,4 5,6,7,8,\n", "boxes and landmarks of FaceScrub", {"photos": 1}),
        ("x.json", '{"path": ["a", "b"], "id": ["A", "A"]}', "feature list of the devkit", {"identities": 1}),
        ("x.json", '{"cmc": [[0, 5], [0.9, 1.0]]}', "result of the devkit: curves", {"rank1": 0.9}),
        ("x.json", '[{"probes": {}, "distractors": {}}]', "result of the devkit: matches", {"probes": 1}),
        ("x.json", '{"a": 1}', "JSON of no known kind", {"items": 1}),
    ],
)  # fmt: skip
def test_texts(tmp_path, name, text, kind, wanted):
    (tmp_path / name).write_text(text)
    found = facts(tmp_path / name)
    assert (found["kind"], found["bytes"]) == (kind, len(text))
    assert {key: found[key] for key in wanted} == wanted


def test_weights(tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(2, 3), "b": [1]}, "epoch": 4}, tmp_path / "x.pt")
    found = facts(tmp_path / "x.pt")
    assert (found["kind"], found["parameters"], found["names"]) == ("torch weights", 6, ["state_dict.a"])


def test_an_onnx_network(tmp_path):
    from onnx import TensorProto, helper, save

    shapes = [("x", ["batch", 3, 4, 4]), ("y", ["batch", 3, 4, 4])]
    inputs, outputs = (helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in shapes)
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [inputs], [outputs])
    save(helper.make_model(graph), tmp_path / "x.onnx")
    found = facts(tmp_path / "x.onnx")
    assert (found["inputs"], found["preprocessing"]) == ({"x": ["batch", 3, 4, 4]}, "not declared")
    (tmp_path / "preprocessing.yaml").touch()
    assert facts(tmp_path)["preprocessing"] == "preprocessing.yaml"


def test_an_image_and_an_entry_of_the_catalog(tmp_path):
    (tmp_path / "x.jpg").write_bytes(drawn.jpeg(1, (50, 60)))
    assert facts(tmp_path / "x.jpg")["size"] == "50x60"
    assert facts("lfw")["counts"] == {"photos": 13233, "identities": 5749, "pairs": 6000}


class Runs:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def hostile_weights(path):
    torch.save({"a": Runs(path.with_name("ran"))}, path)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("none", lambda path: None, "there is no .*none, neither on disk nor in the catalog"),
        ("x", Path.touch, "is empty"),
        ("x", lambda path: path.write_bytes(b"\x00\x01\x02" * 9), "none of what inspect knows: folders and"),
        ("x.txt", lambda path: path.write_text("just words\nof somebody\n"), "none of what inspect knows"),
        ("x.md", lambda path: path.write_text("# Title\n"), "none of what inspect knows"),
        ("x", Path.mkdir, "holds no photos, shards, packs, features or models"),
        ("x.json", lambda path: path.write_text('{"a": '), "is not valid JSON"),
        ("x.json", lambda path: path.write_text("[" * 100_000), "is not valid JSON"),
        ("x.onnx", lambda path: path.write_bytes(b"x" * 99), "is no ONNX file"),
        ("x.pt", lambda path: path.write_bytes(b"x" * 99), "is no torch file of plain tensors"),
        ("x.pt", hostile_weights, "is no torch file of plain tensors"),
        ("x.bin", lambda path: path.write_bytes(b"\x80\x04x"), "is not a pickle of plain images"),
        ("x.rec", lambda path: path.write_bytes(b"\x0a\x23\xd7\xce" * 9), "damaged or cut short|no record"),
        ("x.parquet", lambda path: path.write_bytes(b"PAR1" * 9), "is a damaged Parquet table"),
        ("x.npy", lambda path: path.write_bytes(b"\x93NUMPY" * 9), "is no array of numbers"),
        ("x.jpg", lambda path: path.write_bytes(drawn.jpeg(1)[:900]), "cut short"),
        ("x.zip", lambda path: path.write_bytes(b"PK\x03\x04" * 9), "none of what inspect knows|cannot be read"),
        ("x.tgz", lambda path: path.write_bytes(b"\x1f\x8b" * 9), "cannot be read"),
        ("x.arrow", lambda path: path.write_bytes(b"ARROW1" * 9), "is one part of a set of shards"),
    ],
)  # fmt: skip
def test_what_is_unknown_or_damaged_is_one_sentence(tmp_path, name, make, message):
    make(tmp_path / name)
    with pytest.raises(FormatError, match=message) as caught:
        inspect(tmp_path / name)
    assert str(caught.value).count("\n") == 0
    assert not (tmp_path / "ran").exists()


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Contents of a small file of every kind by path."""
    folder = tmp_path_factory.mktemp("known")
    drawn.rec(folder / "pack", {0: 2})
    drawn.verification(folder / "lfw.bin", [True])
    devkit.write_matrix(np.eye(2), folder / "matrix.bin")
    np.save(folder / "x.npy", np.eye(2))
    torch.save({"a": torch.zeros(2)}, folder / "x.pt")
    pq.write_table(pa.table({"first": [0], "second": [1], "same": [True]}), folder / "x.parquet")
    photo_lists.write_noises(["a_1.png", "b_2.png"], folder / "noises.txt")
    (folder / "pairs.txt").write_text("1\t1\nA\t1\t2\nA\t2\tB\t1\n")
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("seed", range(8))
def test_damage_is_found_or_harmless(known, seed):
    rng = np.random.default_rng(seed)
    for path, content in known.items():
        damaged = path.with_name(f"damaged-{path.name}")
        for _ in range(5):
            changed = np.frombuffer(content, np.uint8).copy()
            changed[rng.integers(0, len(changed), rng.integers(1, 5))] = rng.integers(0, 256)
            damaged.write_bytes(changed[: rng.integers(1, 2 * len(changed))].tobytes())
            try:
                json.dumps(inspect(damaged).facts, allow_nan=False)
            except FacerecError as error:
                assert str(error)
        damaged.unlink()


def test_pictures_are_spread_over_the_people(tmp_path):
    rows = [(who, f"p{who:02d}", f"p{who:02d}/{i}.jpg") for who in range(30) for i in range(1 + who % 6)]
    drawn.face_set(tmp_path / "faces", rows)
    found = inspect(tmp_path / "faces")
    people = [name.split("/")[0] for name in found.names]
    assert len(found.pictures) == len(found.names) <= PICTURES
    assert len(set(people)) == 12
    assert people == sorted(people)
    assert max(people.count(who) for who in set(people)) == 4
    assert found.names == inspect(tmp_path / "faces").names


def test_pairs_are_shown_side_by_side(tmp_path):
    drawn.verification(tmp_path / "lfw.bin", [True] * 40)
    names = inspect(tmp_path / "lfw.bin").names
    rows = [int(name.split("/")[1]) for name in names]
    assert len(rows) == 48
    assert all(row % 2 == 0 and after == row + 1 for row, after in zip(rows[::2], rows[1::2], strict=True))
    assert rows[-1] == 79


def test_thumbnails_keep_the_whole_picture():
    picture = np.zeros((60, 30, 3), np.uint8)
    tile = sheets.thumbnail(picture, 20)
    assert tile.shape == (20, 20, 3)
    assert (tile[:, 5:15] == 0).all()
    assert (tile[:, :5] == 128).all()
    assert (tile[:, 15:] == 128).all()


def test_the_real_files(mirror):
    found = facts(mirror / "lfw-pairs.txt")
    assert (found["pairs"], found["folds"], found["identities"], found["photos"]) == (6000, 10, 4281, 7701)
    assert facts(mirror / "megaface/facescrub_face_info.txt")["photos"] == 3530
    assert facts(mirror / "megaface/megaface_noises.txt")["unique"] == 707
    assert facts(mirror / "megaface/facescrub_uncropped_features_list.json")["identities"] == 80
    assert facts(mirror / "weights/mobilefacenet_foamliu.pt")["tensors"] == 307


def test_the_real_lfw(mirror):
    found = facts(mirror / "lfw-deepfunneled.tgz")
    assert (found["images"], found["identities"], found["sizes"]) == (13233, 5749, {"250x250": 200})
    assert found["images_per_identity"] == {"min": 1, "median": 1.0, "max": 530}


def test_a_set_that_lost_a_part_is_damaged(tmp_path):
    drawn.face_set(tmp_path / "faces", [(0, "A", "1.jpg")])
    (tmp_path / "faces/part-00000.arrow").rename(tmp_path / "faces/part-00001.arrow")
    with pytest.raises(FormatError, match=r"lacks part-00000\.arrow"):
        inspect(tmp_path / "faces")
