"""Pairs: the official LFW form and the Parquet form."""

import numpy as np
import pytest

from facerec.errors import FormatError
from facerec.formats import pairs

SMALL = "2\t1\nAnn\t1\t2\nAnn\t1\tBob\t3\nBob\t1\t3\nCy\t1\tAnn\t2\n"


def test_photos_are_found_by_name_and_missing_ones_are_marked(tmp_path):
    (tmp_path / "pairs.txt").write_text(SMALL)
    sources = ["Ann/Ann_0001.jpg", "Ann/Ann_0002.png", "Bob/Bob_0001.jpg", "Bob/Bob_0003.jpg"]
    found = pairs.read(tmp_path / "pairs.txt", sources)
    assert found.first.tolist() == [0, 0, 2, -1]
    assert found.second.tolist() == [1, 3, 3, 1]
    assert found.same.tolist() == [True, False, True, False]
    assert found.first.dtype == np.int64


def test_parquet_round_trip(tmp_path):
    wrote = pairs.Pairs(np.array([0, -1]), np.array([1, 2]), np.array([True, False]))
    pairs.write(wrote, tmp_path / "pairs.parquet")
    found = pairs.read(tmp_path / "pairs.parquet", ["a", "b", "c"])
    for name in ("first", "second", "same"):
        assert np.array_equal(getattr(found, name), getattr(wrote, name))
    with pytest.raises(FormatError, match="names face 2, but the set holds 2"):
        pairs.read(tmp_path / "pairs.parquet", ["a", "b"])


def test_the_official_form_is_written_as_it_was_read(tmp_path):
    (tmp_path / "a.txt").write_text(SMALL)
    pairs.write_lfw(pairs.read_lfw(tmp_path / "a.txt"), tmp_path / "b.txt", folds=2)
    assert (tmp_path / "b.txt").read_text() == SMALL


def test_a_header_of_one_number_is_one_fold(tmp_path):
    (tmp_path / "a.txt").write_text("1\nAnn\t1\t2\nAnn\t1\tBob\t3\n")
    assert [same for _, _, same in pairs.read_lfw(tmp_path / "a.txt")] == [True, False]


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
        pairs.read_lfw(tmp_path / "pairs.txt")


def test_files_that_cannot_be_read_are_named(tmp_path):
    for name in ("none.txt", "none.parquet"):
        with pytest.raises(FormatError, match=name):
            pairs.read(tmp_path / name, [])
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(FormatError, match=r"bad\.parquet"):
        pairs.read(tmp_path / "bad.parquet", [])


def test_pairs_that_do_not_fill_the_folds_are_refused(tmp_path):
    pair = (("Ann", 1), ("Ann", 2), True)
    other = (("Ann", 1), ("Bob", 2), False)
    with pytest.raises(FormatError, match="do not fill 2 folds"):
        pairs.write_lfw([pair, other], tmp_path / "p.txt", folds=2)
    with pytest.raises(FormatError, match="contradict"):
        pairs.write_lfw([pair, (("Ann", 1), ("Ann", 2), False)], tmp_path / "p.txt", folds=1)


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(FormatError, match="one length"):
        pairs.Pairs(np.zeros(2, np.int64), np.zeros(2, np.int64), np.zeros(1, bool))


def test_the_published_pairs_of_lfw(mirror, tmp_path):
    official = mirror / "lfw-pairs.txt"
    found = pairs.read_lfw(official)
    assert len(found) == 6000
    assert sum(same for _, _, same in found) == 3000
    pairs.write_lfw(found, tmp_path / "pairs.txt")
    assert (tmp_path / "pairs.txt").read_bytes() == official.read_bytes()
