"""The commands unpack, pack, export and inspect as a user runs them: files, JSON, one clear sentence."""

import json

import cv2
import pytest

from facerec.store import shards
from tests import commands
from tests import packs as drawn


@pytest.fixture
def folder(tmp_path):
    """A folder with the pack `pack`."""
    drawn.rec(tmp_path / "pack", {0: 2, 1: 1})
    drawn.verification(tmp_path / "pack/lfw.bin", [True, False])
    return tmp_path


@pytest.fixture
def call(folder):
    """Run the command in `folder`; returns exit code, standard output and error."""

    def call(*words):
        done = commands.run(*words, cwd=folder, COLUMNS="120")
        return done.returncode, done.stdout, done.stderr

    return call


def test_there_and_back(call, tmp_path):
    code, out, err = call("unpack", "pack", "faces", "--json")
    assert (code, json.loads(out), err) == (0, {"train": 3, "lfw": 4}, "")
    code, out, err = call("pack", "faces", "again")
    assert (code, out) == (0, "")
    assert "train" in err
    for name in ("train.rec", "train.idx", "property", "lfw.bin"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "pack" / name).read_bytes()
    code, out, _ = call("pack", "faces/lfw", "some.bin", "--json")
    assert (code, json.loads(out)) == (0, {"some": 4})
    assert (tmp_path / "some.bin").read_bytes() == (tmp_path / "pack/lfw.bin").read_bytes()
    code, out, _ = call("export", "faces/train", "files", "--with-list", "--json")
    assert (code, json.loads(out)) == (0, {"images": 3, "folders": 2})
    assert (tmp_path / "files/list.txt").read_text().splitlines()[2] == "1/00000003.jpg 1"


def test_a_mistake_is_one_sentence_and_exit_code_1(call):
    assert call("inspect", "lwf", "--json") == (1, "", "error: there is no lwf, neither on disk nor in the catalog.\n")


def test_inspecting_for_programs_and_for_people(call, tmp_path):
    code, out, err = call("inspect", "pack", "--sheet", "sheet.png", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["kind"], found["images"], found["other_members"]) == ("pack", 3, {"lfw.bin": 4})
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (112, 340, 3)
    code, out, err = call("inspect", "pack/lfw.bin")
    assert (code, out) == (0, "")
    assert "verification pack" in err
    assert "112x112 4" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("unpack", "nothing", "out"), "nothing does not exist; name a pack's folder"),
        (("unpack", "pack", "pack"), "pack holds the source pack and would be replaced"),
        (("unpack", "pack/lfw.bin", "."), "holds the source pack/lfw.bin and would be replaced"),
        (("unpack", "pack/lfw.bin", "pack"), "pack holds the source"),
        (("unpack", "pack", "sheet", "--size", "0"), "--size takes 112 or 112x96 (height x width), not '0'"),
        (("unpack", "pack", "sheet", "--size", "128"), "112x112 pixels (height x width), not 128x128 as asked for"),
        (("pack", "pack", "out"), "pack is neither a set of faces nor a folder of such sets"),
        (("pack", "pack", "out", "--pairs", "x.txt"), "--pairs belong into a verification pack; call it out.bin"),
        (("pack", "pack", "x.bin"), "pack has no pairs.parquet; name the pairs of x.bin with --pairs"),
        (("export", "pack", "out"), "pack holds no shards"),
        (("inspect", "pack", "--sheet", "x.gif"), "a sheet is written as .png or .jpg, not x.gif"),
        (("inspect", "pack/property", "--sheet", "x.png"), "pack/property is a property of a pack and shows no images"),
        (("inspect", "lwf"), "there is no lwf, neither on disk nor in the catalog"),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(call, tmp_path, words, message):
    before = sorted(tmp_path.rglob("*"))
    code, out, err = call(*words)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("error: ")
    assert message in err
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_there_is_replaced_only_when_asked(call, tmp_path):
    (tmp_path / "files").mkdir()
    assert call("unpack", "pack/train.rec", "files")[0] == 0
    (tmp_path / "files/mine.txt").touch()
    code, _, err = call("unpack", "pack/train.rec", "files")
    assert code == 1
    assert "files exists; name another OUT, or add --replace" in err
    assert (tmp_path / "files/mine.txt").exists()
    assert call("unpack", "pack/train.rec", "files", "--replace")[0] == 0
    assert not (tmp_path / "files/mine.txt").exists()


def test_photos_come_in_by_folder_and_by_list(call, folder):
    call("unpack", "pack", "faces")
    call("export", "faces/train", "photos", "--with-list")
    code, out, err = call("import", "photos", "shards", "--json")
    assert (code, json.loads(out), err) == (0, {"photos": 3, "identities": 2}, "")
    (folder / "whose.txt").write_text("0/00000001.jpg  7\n0/00000002.jpg\t-1\n")
    code, out, _ = call("import", "photos", "listed", "--list", "whose.txt", "--json")
    assert (code, json.loads(out)) == (0, {"photos": 2, "identities": 1})
    code, out, _ = call("import", "photos", "nobody", "--unlabelled", "--json")
    assert (code, json.loads(out)) == (0, {"photos": 3, "identities": 0})
    rows = [shards.read_shards(folder / name, "photos").row(0) for name in ("shards", "listed", "nobody")]
    assert [row["identity"] for row in rows] == ["0", "7", ""]
    assert bytes(rows[0]["image"]) == (folder / "photos/0/00000001.jpg").read_bytes()
    code, _, err = call("import", "photos", "both", "--list", "whose.txt", "--unlabelled")
    assert (code, err.count("\n")) == (1, 1)
    code, _, err = call("import", "photos", "shards")
    assert code == 1
    assert "--replace" in err
