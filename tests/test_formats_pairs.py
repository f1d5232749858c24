"""Pairs: the official LFW form and the Parquet form."""

import numpy as np
import pytest

from facerec.core import FormatError
from facerec.interop import pair_lists, photo_lists
from facerec.store import pairs

SMALL = "2\t1\nAnn\t1\t2\nAnn\t1\tBob\t3\nBob\t1\t3\nCy\t1\tAnn\t2\n"


def test_photos_are_found_by_name_and_missing_ones_are_marked(tmp_path):
    (tmp_path / "pairs.txt").write_text(SMALL)
    sources = ["Ann/Ann_0001.jpg", "Ann/Ann_0002.png", "Bob/Bob_0001.jpg", "Bob/Bob_0003.jpg"]
    found = pair_lists.read_pairs(tmp_path / "pairs.txt", sources)
    assert found.first.tolist() == [0, 0, 2, -1]
    assert found.second.tolist() == [1, 3, 3, 1]
    assert found.same.tolist() == [True, False, True, False]
    assert found.first.dtype == np.int64


def test_parquet_round_trip(tmp_path):
    wrote = pairs.Pairs(np.array([0, -1]), np.array([1, 2]), np.array([True, False]))
    pairs.write_pairs(wrote, tmp_path / "pairs.parquet")
    found = pair_lists.read_pairs(tmp_path / "pairs.parquet", ["a", "b", "c"])
    for name in ("first", "second", "same"):
        assert np.array_equal(getattr(found, name), getattr(wrote, name))
    with pytest.raises(FormatError, match="names face 2, but the set holds 2"):
        pair_lists.read_pairs(tmp_path / "pairs.parquet", ["a", "b"])


def test_the_official_form_is_written_as_it_was_read(tmp_path):
    (tmp_path / "a.txt").write_text(SMALL)
    pair_lists.write_lfw(pair_lists.read_lfw(tmp_path / "a.txt"), tmp_path / "b.txt", folds=2)
    assert (tmp_path / "b.txt").read_text() == SMALL


def test_a_header_of_one_number_is_one_fold(tmp_path):
    (tmp_path / "a.txt").write_text("1\nAnn\t1\t2\nAnn\t1\tBob\t3\n")
    assert [same for _, _, same in pair_lists.read_lfw(tmp_path / "a.txt")] == [True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected 'folds<TAB>pairs'"),
        ("ten\t300\n", "line 1"),
        ("1\t0\n", "line 1"),
        (SMALL + "Ann\t1\t2\n", "promises 4 pairs in lines 2 to 5, but holds 5"),
        (SMALL.replace("Bob\t1\t3\n", ""), "holds 3"),
        (SMALL.replace("Bob\t1\t3\n", "\nBob\t1\t3\n"), "holds 4"),
        (SMALL.replace("Bob\t1\t3", "Bob\t1\tCy\t3"), "line 4: expected name<TAB>i<TAB>j"),
        (SMALL.replace("Ann\t1\tBob\t3", "Ann\t1\t3"), "line 3: expected name<TAB>i<TAB>other<TAB>j"),
        (SMALL.replace("Ann\t1\t2\nAnn", "Ann\tone\t2\nAnn"), "line 2"),
        (SMALL.replace("Ann\t1\t2\nAnn", "Ann\t-1\t2\nAnn"), "line 2"),
    ],
)
def test_malformed_lists_are_refused_with_their_line(tmp_path, text, message):
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(FormatError, match=message):
        pair_lists.read_lfw(tmp_path / "pairs.txt")


def test_files_that_cannot_be_read_are_named(tmp_path):
    for name in ("none.txt", "none.parquet"):
        with pytest.raises(FormatError, match=name):
            pair_lists.read_pairs(tmp_path / name, [])
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(FormatError, match=r"bad\.parquet"):
        pair_lists.read_pairs(tmp_path / "bad.parquet", [])


def test_pairs_that_do_not_fill_the_folds_are_refused(tmp_path):
    pair = (("Ann", 1), ("Ann", 2), True)
    other = (("Ann", 1), ("Bob", 2), False)
    with pytest.raises(FormatError, match="do not fill 2 folds"):
        pair_lists.write_lfw([pair, other], tmp_path / "p.txt", folds=2)
    with pytest.raises(FormatError, match="contradict"):
        pair_lists.write_lfw([pair, (("Ann", 1), ("Ann", 2), False)], tmp_path / "p.txt", folds=1)


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(FormatError, match="one length"):
        pairs.Pairs(np.zeros(2, np.int64), np.zeros(2, np.int64), np.zeros(1, bool))


def test_the_published_pairs_of_lfw(mirror, tmp_path):
    official = mirror / "lfw-pairs.txt"
    found = pair_lists.read_lfw(official)
    assert len(found) == 6000
    assert sum(same for _, _, same in found) == 3000
    pair_lists.write_lfw(found, tmp_path / "pairs.txt")
    assert (tmp_path / "pairs.txt").read_bytes() == official.read_bytes()


SOURCES = ["Ann/Ann_0001.jpg", "Ann/Ann_0002.png", "Bob/Bob_0001.jpg", "Bob/Bob_0003.jpg"]


def read(path, text, sources=SOURCES):
    path.write_text(text, encoding="utf-8")
    found = pair_lists.read_pairs(path, sources)
    return list(zip(found.first.tolist(), found.second.tolist(), found.same.tolist(), strict=True))


@pytest.mark.parametrize("gap", [" ", "  ", "\t", ",", ", "])
@pytest.mark.parametrize("other", ["0", "-1"])
def test_lists_of_two_paths_are_read(tmp_path, gap, other):
    lines = [("Ann/Ann_0001.jpg", "Ann/Ann_0002.jpg", "1"), ("Ann/Ann_0001.jpg", "faces/Bob/Bob_0003.png", other)]
    text = "\r\n".join(gap.join(line) for line in lines) + "\r\n\r\n"
    assert read(tmp_path / "pairs.txt", text) == [(0, 1, True), (0, 3, False)]


@pytest.mark.parametrize("gap", [" ", "\t"])
def test_paths_with_spaces_are_read(tmp_path, gap):
    sources = ["Ann Lee/Ann Lee 1.jpg", "Bob/1.jpg"]
    text = gap.join(("Ann Lee/Ann Lee 1.jpg", "Bob/1.jpg", "0"))
    assert read(tmp_path / "pairs.txt", text, sources) == [(0, 1, False)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1"),
        ("\n \n", "line 1|no pairs"),
        ("a.jpg b.jpg 1\na.jpg b.jpg 2\n", "line 2: expected 'path path 0 or 1'"),
        ("a.jpg b.jpg 1\n\na.jpg 1\n", "line 3"),
        ("a.jpg b.jpg c.jpg 1\tx\n", "line 1"),
        ("a.jpg\t\t1\n", "line 1"),
        ("1 2 3 4\n", "line 1"),
        ("a.jpg 1\n", "make no pairs"),
        ("a.jpg 1\nb.jpg one\n", "line 2: expected 'photo number'"),
        ("a.jpg 1\nb.jpg 0\n", "end in 1 and 0"),
        ("9" * 5000 + " 1\n", "make no pairs"),
        ("a b c d\n", "line 1"),
        ("a.jpg " * 100_000 + "x\n", "line 1"),
        ("a.jpg " + "9" * 5000 + "\n", "line 1"),
    ],
)
def test_malformed_path_lists_are_refused(tmp_path, text, message):
    with pytest.raises(FormatError, match=message):
        read(tmp_path / "pairs.txt", text)


def test_lists_of_two_lines_a_pair_are_put_in_folds(tmp_path):
    """CALFW lists the pairs of one person first, with the number of their fold, then the others with 0."""
    same = [(f"A_{number:04d}.jpg", f"B_{number:04d}.jpg", 10 - number // 2) for number in range(20)]
    other = [(f"C_{number:04d}.jpg", f"D_{number:04d}.jpg", 0) for number in range(20)]
    text = "".join(f"{first} {fold}\n{second}\t{fold}\n" for first, second, fold in same + other)
    sources = [f"aligned images/{name}" for pair in same + other for name in pair[:2]]
    found = read(tmp_path / "pairs_CALFW.txt", text, sources)
    assert [pair[2] for pair in found] == [True, True, False, False] * 10
    assert found[:4] == [(36, 37, True), (38, 39, True), (40, 41, False), (42, 43, False)]
    assert sorted(found) == [(row, row + 1, row < 40) for row in range(0, 80, 2)]
    mixed = "A_0000.jpg 0\nB_0000.jpg 0\nA_0001.jpg 1\nB_0001.jpg 1\n"
    assert read(tmp_path / "pairs.txt", mixed, sources) == [(0, 1, False), (2, 3, True)]


@pytest.fixture
def cfp(tmp_path):
    """Three people in the layout of CFP: two frontal photos and one profile each, two folds."""
    protocol = tmp_path / "Protocol"
    photos = {
        "F": [f"../Data/Images/{who:03d}/frontal/{photo:02d}.jpg" for who in (1, 2, 3) for photo in (1, 2)],
        "P": [f"../Data/Images/{who:03d}/profile/01.jpg" for who in (1, 2, 3)],
    }
    for kind, paths in photos.items():
        lines = [f"{number} {path}\n" for number, path in enumerate(paths, 1)]
        (tmp_path / "Protocol").mkdir(exist_ok=True)
        (protocol / f"Pair_list_{kind}.txt").write_text("".join(lines))
    for name, text in {
        "FF/01/same": "1,2\n", "FF/01/diff": "1,3\n", "FF/02/same": "3,4\n", "FF/02/diff": "4,5",
        "FP/01/same": "1,1\n", "FP/01/diff": "1,2\n", "FP/02/same": "3,2\n", "FP/02/diff": "6,1\n",
    }.items():  # fmt: skip
        path = protocol / f"Split/{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return protocol


CFP = [
    f"{who:03d}/{view}.jpg" for who in (1, 2, 3) for view in ("frontal/01", "frontal/02", "profile/01")
]  # fmt: skip


@pytest.mark.parametrize("top", ["", "Data/Images/", "cfp-dataset/Data/Images/"])
def test_the_protocol_of_cfp_is_read_fold_by_fold(cfp, top):
    sources = [top + source for source in CFP]
    frontal, profile = (pair_lists.read_pairs(cfp / "Split" / split, sources) for split in ("FF", "FP"))
    assert list(zip(frontal.first, frontal.second, strict=True)) == [(0, 1), (0, 3), (3, 4), (4, 6)]
    assert list(zip(profile.first, profile.second, strict=True)) == [(0, 2), (0, 5), (3, 5), (7, 2)]
    assert frontal.same.tolist() == profile.same.tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("Split/FF/02/same.txt", "3,7\n", "same.txt, line 1: expected two photos"),
        ("Split/FF/02/same.txt", "0,1\n", "line 1"),
        ("Split/FF/02/same.txt", "1 2\n", "line 1"),
        ("Split/FF/02/same.txt", "1,2\n3,4\n", r"folds of \[2, 3\] pairs"),
        ("Pair_list_F.txt", "1 a.jpg\n3 b.jpg\n", "line 2: expected '2 path'"),
        ("Pair_list_F.txt", "1\n", "line 1"),
        ("Split/FF/02/diff.txt", None, "cannot read"),
        ("Pair_list_F.txt", None, "cannot read"),
    ],
)
def test_a_damaged_protocol_of_cfp_is_refused(cfp, name, text, message):
    (cfp / name).unlink() if text is None else (cfp / name).write_text(text)
    with pytest.raises(FormatError, match=message):
        pair_lists.read_pairs(cfp / "Split/FF", CFP)


def test_other_folders_hold_no_pairs(tmp_path):
    with pytest.raises(FormatError, match="Protocol/Split/FF or FP"):
        pair_lists.read_pairs(tmp_path, [])


def test_the_list_of_a_bcolz_pack_pairs_neighbours(tmp_path):
    np.save(tmp_path / "lfw_list.npy", np.array([True, False]))
    found = pair_lists.read_pairs(tmp_path / "lfw_list.npy", SOURCES)
    assert (found.first.tolist(), found.second.tolist()) == ([0, 2], [1, 3])
    assert found.same.tolist() == [True, False]
    with pytest.raises(FormatError, match="2 pairs, but the set holds 3 faces"):
        pair_lists.read_pairs(tmp_path / "lfw_list.npy", SOURCES[:3])


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("Ann/Ann_0001.jpg", 0),
        ("Ann/Ann_0001.png", 0),
        ("Ann_0001", 0),
        ("/data/lfw/Ann/Ann_0001.jpg", 0),
        ("lfw\\Ann\\Ann_0001.jpg", 0),
        ("x/Ann_0001.jpg", -1),
        ("Bob_0002", -1),
        ("nn_0001", -1),
        ("", -1),
    ],
)
def test_the_shorter_path_must_end_the_longer(name, row):
    assert photo_lists.matching_rows([name], SOURCES).tolist() == [row]


def test_a_name_of_two_photos_is_refused(tmp_path):
    sources = ["a/1.jpg", "b/1.jpg", "c/2.jpg", "c/2.png"]
    for name in ("1.jpg", "c/2"):
        with pytest.raises(FormatError, match=rf"pairs\.txt: '{name}' may be"):
            read(tmp_path / "pairs.txt", f"{name} b/1.jpg 1\n", sources)
    assert photo_lists.matching_rows(["c/2.png", "c/2.jpg"], sources).tolist() == [3, 2]
