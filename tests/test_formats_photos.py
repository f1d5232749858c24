"""Photos in folders and archives: order, labels, what is left out, what is refused."""

import gzip
import io
import os
import tarfile
import zipfile

import pytest

from facerec.core import FormatError
from facerec.interop import photo_lists, photos
from facerec.interop.file_sources import Limits, is_archive

JPEG = b"\xff\xd8\xff\xe0 photo of "
TREE = {
    "lfw/Bob/Bob_0001.jpg": JPEG + b"Bob",
    "lfw/Ann/Ann_0002.jpg": JPEG + b"Ann 2",
    "lfw/Ann/Ann_0001.jpg": JPEG + b"Ann 1",
    "lfw/Cy Young/Cy_0001.PNG": b"\x89PNG\r\n\x1a\n",
    "lfw/Cy Young/no extension": JPEG + b"Cy",
    "lfw/Ann/._Ann_0001.jpg": b"resource fork",
    "__MACOSX/lfw/Ann/Ann_0001.jpg": b"resource fork",
    "lfw/.DS_Store": b"x",
    "lfw/README.txt": b"x",
    "lfw/Ann/notes": b"no photo",
}
SOURCES = ["Ann/Ann_0001.jpg", "Ann/Ann_0002.jpg", "Bob/Bob_0001.jpg", "Cy Young/Cy_0001.PNG", "Cy Young/no extension"]


def folder(path, tree):
    for name, data in tree.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def member(name, data=b"", **attributes):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, io.BytesIO(data)


def tar(path, tree, mode="w:gz", extra=()):
    with tarfile.open(path, mode) as archive:
        for info, data in [*(member(name, data) for name, data in tree.items()), *extra]:
            archive.addfile(info, data)
    return path


def zipped(path, tree, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in tree.items():
            archive.writestr(name, data)
    return path


MAKERS = {
    "folder": lambda path, tree: folder(path / "photos", tree),
    "tar": lambda path, tree: tar(path / "x", tree, "w"),
    "tgz": lambda path, tree: tar(path / "x", tree),
    "zip": lambda path, tree: zipped(path / "x", tree),
}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("turn", [list, reversed, sorted])
def test_order_and_labels_depend_on_names_alone(tmp_path, maker, turn):
    tree = {name: TREE[name] for name in turn(list(TREE))}
    rows = list(photos.photo_rows(maker(tmp_path, tree)))
    assert [row["source"] for row in rows] == SOURCES
    assert [row["identity"] for row in rows] == ["Ann", "Ann", "Bob", "Cy Young", "Cy Young"]
    assert [row["label"] for row in rows] == [0, 0, 1, 2, 2]
    assert [row["image"] for row in rows] == [TREE[f"lfw/{source}"] for source in SOURCES]


@pytest.mark.parametrize(
    ("names", "sources", "identities"),
    [
        (["Ann/1.jpg"], ["Ann/1.jpg"], ["Ann"]),
        (["top/Ann/1.jpg"], ["Ann/1.jpg"], ["Ann"]),
        (["a/b/Ann/1.jpg", "a/b/Bob/1.jpg"], ["Ann/1.jpg", "Bob/1.jpg"], ["Ann", "Bob"]),
        (["a/Ann/1.jpg", "b/Bob/1.jpg"], ["a/Ann/1.jpg", "b/Bob/1.jpg"], ["Ann", "Bob"]),
        (["./Ann/1.jpg"], ["Ann/1.jpg"], ["Ann"]),
        (["1.jpg", "Ann/1.jpg"], ["1.jpg", "Ann/1.jpg"], ["", "Ann"]),
    ],
)
def test_folders_above_the_identities_are_left_out(tmp_path, names, sources, identities):
    rows = list(photos.photo_rows(tar(tmp_path / "x.tgz", dict.fromkeys(names, JPEG))))
    assert [row["source"] for row in rows] == sources
    assert [row["identity"] for row in rows] == identities
    assert [row["label"] for row in rows] == ([-1, 0] if "" in identities else list(range(len(names))))


def test_unlabelled_photos_keep_their_whole_path(tmp_path):
    tree = {"100/100@N00/1_0.jpg": JPEG, "100/200@N00/2_0.jpg": JPEG}
    rows = list(photos.photo_rows(folder(tmp_path, tree), labelled=False))
    assert [row["source"] for row in rows] == sorted(tree)
    assert {(row["identity"], row["label"]) for row in rows} == {("", -1)}


def test_links_and_devices_are_not_photos(tmp_path):
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(JPEG + b"secret")
    extra = [
        member("Ann/2.jpg", type=tarfile.SYMTYPE, linkname=str(secret)),
        member("Ann/3.jpg", type=tarfile.LNKTYPE, linkname="Ann/1.jpg"),
        member("Ann/4.jpg", type=tarfile.CHRTYPE),
        member("Ann/5.jpg", type=tarfile.FIFOTYPE),
    ]
    rows = list(photos.photo_rows(tar(tmp_path / "x.tgz", {"Ann/1.jpg": JPEG}, extra=extra)))
    assert [row["source"] for row in rows] == ["Ann/1.jpg"]
    place = folder(tmp_path / "set", {"Ann/1.jpg": JPEG})
    (place / "Ann/2.jpg").symlink_to(secret)
    (place / "Bob").symlink_to(place / "Ann")
    os.mkfifo(place / "Ann/3.jpg")
    assert [row["source"] for row in photos.photo_rows(place)] == ["Ann/1.jpg"]
    link = zipfile.ZipInfo("Ann/2.jpg")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("Ann/1.jpg", JPEG)
        archive.writestr(link, str(secret))
    assert [row["source"] for row in photos.photo_rows(tmp_path / "x.zip")] == ["Ann/1.jpg"]


UNSAFE = ["/etc/1.jpg", "../1.jpg", "Ann/../../1.jpg", "Ann\\1.jpg"]


@pytest.mark.parametrize(
    ("maker", "name"),
    [*((maker, name) for maker in (tar, zipped) for name in UNSAFE), (tar, "Ann/\udcff.jpg"), (tar, ".")],
)
def test_names_that_leave_the_archive_are_refused(tmp_path, maker, name):
    with pytest.raises(FormatError, match="no safe name"):
        list(photos.photo_rows(maker(tmp_path / "x", {"Ann/1.jpg": JPEG, name: JPEG})))


def test_a_member_listed_twice_is_refused(tmp_path):
    path = tar(tmp_path / "x.tar", {"Ann/1.jpg": JPEG}, "w", [member("./Ann/1.jpg", b"other")])
    with pytest.raises(FormatError, match=r"lists Ann/1.jpg twice"):
        list(photos.photo_rows(path))


@pytest.mark.parametrize("maker", [tar, zipped])
def test_bombs_are_refused(tmp_path, maker):
    path = maker(tmp_path / "x", {f"Ann/{number}.jpg": bytes(1 << 21) for number in range(8)})
    assert path.stat().st_size < 60_000
    with pytest.raises(FormatError, match="unpacks to more than 200 times its size"):
        list(photos.photo_rows(path))


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_that_unpack_more_than_they_are_asked_for_are_refused(tmp_path, compression):
    path = zipped(tmp_path / "x.zip", {"Ann/1.jpg": JPEG}, compression)
    with pytest.raises(FormatError, match="neither stored nor deflated"):
        list(photos.photo_rows(path))


def test_a_member_larger_than_its_zip_is_refused(tmp_path):
    path = zipped(tmp_path / "x.zip", {"Ann/1.jpg": JPEG}, zipfile.ZIP_STORED)
    data = path.read_bytes()
    size = data.index(b"PK\x01\x02") + 20  # compressed size in the central directory
    path.write_bytes(data[:size] + (1 << 30).to_bytes(4, "little") + data[size + 4 :])
    with pytest.raises(FormatError, match="larger than the whole file"):
        list(photos.photo_rows(path))


def test_an_endless_gzip_is_refused_without_filling_the_disk(tmp_path):
    (tmp_path / "x.tgz").write_bytes(gzip.compress(bytes(64 << 20)))
    limits = Limits(ratio=10)
    with pytest.raises(FormatError, match="unpacks to more than 10 times"):
        list(photos.photo_rows(tmp_path / "x.tgz", limits=limits))


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_members_too_large_are_refused(tmp_path, maker):
    path = maker(tmp_path, {"Ann/1.jpg": JPEG + bytes(100)})
    with pytest.raises(FormatError, match=r"Ann/1.jpg has 114 bytes, more than 100"):
        list(photos.photo_rows(path, limits=Limits(member_bytes=100)))


@pytest.mark.parametrize("maker", [tar, zipped])
def test_too_many_members_are_refused(tmp_path, maker):
    with pytest.raises(FormatError, match="more than 4 members"):
        list(photos.photo_rows(maker(tmp_path / "x", TREE), limits=Limits(members=4)))


@pytest.mark.parametrize("maker", ["tar", "tgz", "zip"])
@pytest.mark.parametrize("keep", [0.0, 0.4, 0.9])
def test_cut_archives_are_refused(tmp_path, maker, keep):
    tree = {f"Ann/{number}.jpg": JPEG + os.urandom(5000) for number in range(20)}
    path = MAKERS[maker](tmp_path, tree)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(FormatError, match="cannot be read"):
        list(photos.photo_rows(path))


def test_a_damaged_zip_member_is_found(tmp_path):
    path = zipped(tmp_path / "x.zip", {"Ann/1.jpg": JPEG + bytes(100)}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(JPEG, JPEG[::-1]))
    with pytest.raises(FormatError, match="CRC"):
        list(photos.photo_rows(path))


def test_a_pack_taken_for_photos_is_named(tmp_path):
    for name in ("train.rec", "train.idx", "lfw.bin", "property"):
        (tmp_path / name).write_bytes(b"\x0a\x23\xd7\xce")
    with pytest.raises(FormatError, match=r"holds no photos but a pack; `facerec unpack` makes face sets of it\.$"):
        list(photos.photo_rows(tmp_path))


def test_places_without_photos_are_refused(tmp_path):
    with pytest.raises(FormatError, match="holds no photos"):
        list(photos.photo_rows(tmp_path))
    with pytest.raises(FormatError, match="cannot be read"):
        list(photos.photo_rows(tmp_path / "none"))


def test_a_tgz_leaves_nothing_in_its_scratch_folder(tmp_path):
    (tmp_path / "scratch").mkdir()
    list(photos.photo_rows(tar(tmp_path / "x.tgz", TREE), scratch=tmp_path / "scratch"))
    assert not list((tmp_path / "scratch").iterdir())


def listed(path, text):
    path.write_text(text, encoding="utf-8")
    return photo_lists.read_labels(path)


@pytest.mark.parametrize("gap", [" ", "  ", "\t", " \t "])
@pytest.mark.parametrize("end", ["\n", "\r\n", " \n\n"])
def test_list_files_are_read(tmp_path, gap, end):
    lines = [("Bob/1.jpg", 7), ("Cy Young/a  b.jpg", -1), ("Ann/1.jpg", 3), ("no_extension", 7)]
    found = listed(tmp_path / "list.txt", end.join(f"{name}{gap}{label}" for name, label in lines))
    assert list(found.items()) == lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no photos"),
        ("a.jpg 1\nb.jpg\n", "line 2: expected 'path label'"),
        ("a.jpg one\n", "line 1"),
        ("7\n", "line 1"),
        ("a.jpg " + "9" * 5000, "line 1"),
        ("a.jpg 1\n\na.jpg 2\n", "line 3: a.jpg is listed twice"),
    ],
)
def test_malformed_list_files_are_refused_with_their_line(tmp_path, text, message):
    with pytest.raises(FormatError, match=message):
        listed(tmp_path / "list.txt", text)


def test_lists_of_names_are_read_or_refused_with_their_line(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("\ufeffb/2.jpg\tAnn Other \r\n\na  b.jpg \t Zoë\n", encoding="utf-8")
    assert photo_lists.read_names(path) == {"b/2.jpg": "Ann Other", "a  b.jpg": "Zoë"}
    for text, message in (
        ("", "lists no photos"),
        ("a.jpg Ann\n", "line 1: expected 'path<TAB>name'"),
        ("a.jpg\tAnn\n\tBob\n", "line 2"),
        ("a.jpg\t \n", "line 1"),
        ("a.jpg\tAnn\tBob\n", "line 1"),
        ("a.jpg\tAnn\na.jpg\tBob\n", r"line 2: a.jpg is listed twice"),
    ):
        path.write_text(text)
        with pytest.raises(FormatError, match=message):
            photo_lists.read_names(path)


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_listed_photos_come_in_the_order_of_the_list(tmp_path, maker):
    text = "Cy Young/Cy_0001.PNG\t40\nlfw/Bob/Bob_0001.jpg\t-1\n/data/lfw/Ann/Ann_0001.jpg\t5\nAnn/Ann_0002.jpg\t5\n"
    rows = list(photos.listed_rows(maker(tmp_path, TREE), listed(tmp_path / "list.txt", text)))
    assert [row["source"] for row in rows] == [SOURCES[3], SOURCES[2], SOURCES[0], SOURCES[1]]
    assert [row["label"] for row in rows] == [1, -1, 0, 0]
    assert [row["identity"] for row in rows] == ["40", "", "5", "5"]
    assert [row["image"] for row in rows] == [TREE[f"lfw/{row['source']}"] for row in rows]


def test_lists_that_do_not_fit_are_refused(tmp_path):
    place = folder(tmp_path / "set", {"Ann/1.jpg": JPEG, "Bob/1.jpg": JPEG})
    for text, message in [
        ("Ann/1.jpg 0\nCy/1.jpg 1\nDee/1.jpg 1\n", r"lacks 2 of the 3 photos of its list, the first is 'Cy/1.jpg'"),
        ("1.jpg 0\n", "may be"),
        ("Ann/1.jpg 0\nset/Ann/1.jpg 0\n", "twice"),
    ]:
        with pytest.raises(FormatError, match=message):
            list(photos.listed_rows(place, listed(tmp_path / "list.txt", text)))


def rows_of(place, only):
    with photos.open_photos(place, only=only) as opened:
        return list(opened.rows())


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_only_listed_photos_keep_their_folders_as_identities(tmp_path, maker):
    place = maker(tmp_path, TREE)
    wanted = ["Cy Young/Cy_0001.png", "Ann/Ann_0002.bmp", "Ann/Ann_0001.jpg"]
    rows = rows_of(place, wanted)
    assert [row["source"] for row in rows] == [SOURCES[3], SOURCES[1], SOURCES[0]]
    assert [row["identity"] for row in rows] == ["Cy Young", "Ann", "Ann"]
    assert [row["label"] for row in rows] == [1, 0, 0]
    with pytest.raises(FormatError, match=r"lacks 1 of the 2 photos of its list, the first is 'Cy/9.jpg'"):
        rows_of(place, ["Ann/Ann_0001.jpg", "Cy/9.jpg"])


@pytest.mark.slow
def test_lfw_itself(mirror):
    count, last = 0, {}
    for row in photos.photo_rows(mirror / "lfw-deepfunneled.tgz"):
        count, last = count + 1, row
    assert (count, last["label"], last["identity"]) == (13233, 5748, "Zydrunas_Ilgauskas")


def test_archives_are_told_by_content_and_damage_is_no_archive(tmp_path):
    photo, whole, damaged = (tmp_path / name for name in ("photo.zip", "whole", "damaged"))
    photo.write_bytes(b"\xff\xd8\xff\xe0 no archive, whatever its name says")
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("Ann/1.jpg", b"photo")
    ending = whole.read_bytes()[-22:]
    damaged.write_bytes(b"PK\x06\x07" + bytes(12) + b"\x02\0\0\0" + ending)  # parts of it on another disk
    with pytest.raises(zipfile.BadZipFile):
        zipfile.is_zipfile(damaged)
    assert [is_archive(path) for path in (photo, whole, damaged)] == [False, True, False]
