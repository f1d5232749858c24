"""A gallery file: what is added, replaced and forgotten, the same bytes for the same people, damage refused."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facerec.core import FormatError
from facerec.imaging import images
from facerec.inspection import inspect
from facerec.store import gallery, model_metadata, tables
from facerec.store.gallery import Gallery, GalleryEntry, GalleryModel
from facerec.store.model_metadata import TrainingSet

MODEL = GalleryModel("ab" * 32, 4, {"size": [112, 112]}, (TrainingSet("synth_people", True),))


def entry(name: str, photo: int, **changes: object) -> GalleryEntry:
    direction = np.random.default_rng(photo).normal(size=4)
    unit = (direction / np.linalg.norm(direction)).astype(np.float32)
    made = GalleryEntry(name, f"{name}/{photo}.jpg", f"{photo:064x}", unit, 0.75, "detector", b"crop")
    return replace(made, **changes)  # type: ignore[arg-type]


PEOPLE = [entry("Eve", 1), entry("Ann", 2), entry("Ann", 3, score=None, rung="crop", face=None), entry("Zoë", 4)]


def same(first: Gallery, second: Gallery) -> bool:
    plain = [[{**vars(each), "embedding": each.embedding.tolist()} for each in g.entries] for g in (first, second)]
    return first.model == second.model and plain[0] == plain[1]


def test_a_gallery_comes_back_and_its_bytes_do_not_tell_who_came_first(tmp_path: Path) -> None:
    made = Gallery(MODEL).with_entries(PEOPLE)
    gallery.write_gallery(made, tmp_path / "a.gallery")
    found = gallery.read_gallery(tmp_path / "a.gallery")
    assert same(found, made)
    assert found.people == {"Ann": 2, "Eve": 1, "Zoë": 1}
    assert found.matrix.shape == (4, 4)
    assert found.matrix.dtype == np.float32
    again = Gallery(MODEL)
    for each in reversed(PEOPLE):
        again = again.with_entries([each])
    gallery.write_gallery(again, tmp_path / "b.gallery")
    assert (tmp_path / "a.gallery").read_bytes() == (tmp_path / "b.gallery").read_bytes()


def test_other_programs_read_it(tmp_path: Path) -> None:
    gallery.write_gallery(Gallery(MODEL).with_entries(PEOPLE), tmp_path / "x")
    frame = pq.read_table(tmp_path / "x").to_pandas()
    assert frame.name.tolist() == ["Ann", "Ann", "Eve", "Zoë"]
    assert np.stack(frame.embedding).shape == (4, 4)


def test_the_same_photo_is_replaced_also_under_another_name() -> None:
    made = Gallery(MODEL).with_entries(PEOPLE).with_entries([entry("Eve", 1, score=0.5), entry("Eve", 2)])
    assert [(each.name, each.photo[-1], each.score) for each in made.entries] == [
        ("Ann", "3", None),
        ("Eve", "1", 0.5),
        ("Eve", "2", 0.75),
        ("Zoë", "4", 0.75),
    ]


def test_who_is_forgotten_leaves_no_byte(tmp_path: Path) -> None:
    made = Gallery(MODEL).with_entries([*PEOPLE, entry("Forgotten Person", 9, face=b"a telling picture")])
    gallery.write_gallery(made, tmp_path / "x")
    traces = (b"Forgotten Person", b"a telling picture", entry("", 9).embedding.tobytes(), b"9.jpg")
    assert all(trace in (tmp_path / "x").read_bytes() for trace in traces)
    gallery.write_gallery(gallery.read_gallery(tmp_path / "x").without("Forgotten Person"), tmp_path / "x")
    assert not any(trace in (tmp_path / "x").read_bytes() for trace in traces)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert gallery.read_gallery(tmp_path / "x").people == Gallery(MODEL).with_entries(PEOPLE).people


def test_an_empty_gallery_is_one(tmp_path: Path) -> None:
    gallery.write_gallery(Gallery(MODEL), tmp_path / "x")
    assert len(gallery.read_gallery(tmp_path / "x")) == 0
    assert gallery.read_gallery(tmp_path / "x").matrix.shape == (0, 4)


def table(**columns: object) -> pa.Table:
    """A gallery's table with some columns replaced."""
    rows = [
        {**vars(each), "embedding": each.embedding.tolist()} for each in Gallery(MODEL).with_entries(PEOPLE).entries
    ]
    made = pa.Table.from_pylist(rows, gallery._SCHEMA)
    for name, values in columns.items():
        made = made.set_column(made.column_names.index(name), name, pa.array(values))
    return made


NOTE = {"gallery": 1, "model": asdict(MODEL)}
UNIT = [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("columns", "note", "reason"),
    [
        ({}, None, "no gallery of facerec"),
        ({}, {"gallery": 3, "model": asdict(MODEL)}, "version 3, this program reads 1 and 2"),
        ({}, {"gallery": 2, "model": asdict(MODEL), "removals": [{"salt": 1}]}, "says of itself is damaged"),
        ({}, {"gallery": 1, "model": asdict(MODEL) | {"digest": "x"}}, "says of itself is damaged"),
        ({}, {"gallery": 1, "model": asdict(MODEL) | {"dim": 5}}, "lacks parts of some photos"),
        ({}, {"gallery": 1, "model": asdict(MODEL) | {"dim": 0}}, "says of itself is damaged"),
        ({"name": ["Ann", "Ann", None, "Zoë"]}, NOTE, "lacks parts of some photos"),
        ({"embedding": [UNIT, UNIT, UNIT, UNIT[:3]]}, NOTE, "lacks parts of some photos"),
        ({"embedding": [UNIT, UNIT, UNIT, None]}, NOTE, "lacks parts of some photos"),
        ({"embedding": [UNIT, UNIT, UNIT, [None, 1.0, 0.0, 0.0]]}, NOTE, "not of length 1"),
        ({"embedding": [UNIT, UNIT, UNIT, [float("nan"), 1.0, 0.0, 0.0]]}, NOTE, "not of length 1"),
        ({"embedding": [UNIT, UNIT, UNIT, [2.0, 0.0, 0.0, 0.0]]}, NOTE, "not of length 1"),
        ({"embedding": ["a", "b", "c", "d"]}, NOTE, "not a readable table"),
        ({"name": ["Zoë", "Ann", "Ann", "Ann"]}, NOTE, "not in order"),
    ],
)
def test_what_is_no_sound_gallery_is_refused_in_one_sentence(tmp_path: Path, columns, note, reason) -> None:
    made = table(**columns)
    pq.write_table(made if note is None else tables.with_note(made, note), tmp_path / "x.gallery")
    with pytest.raises(FormatError, match=reason) as refused:
        gallery.read_gallery(tmp_path / "x.gallery")
    assert "x.gallery" in str(refused.value)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="there is no gallery"):
        gallery.read_gallery(tmp_path / "x")
    for content in (b"", b"PAR1", b"hello"):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(FormatError, match="not a readable table"):
            gallery.read_gallery(tmp_path / "x")


def test_any_cut_of_the_file_is_noticed(tmp_path: Path) -> None:
    gallery.write_gallery(Gallery(MODEL).with_entries(PEOPLE), tmp_path / "x")
    whole = (tmp_path / "x").read_bytes()
    for size in range(0, len(whole), 97):
        (tmp_path / "x").write_bytes(whole[:size])
        with pytest.raises(FormatError):
            gallery.read_gallery(tmp_path / "x")


def test_inspect_lists_whom_it_holds(tmp_path: Path) -> None:
    face = images.encode_jpeg(np.full((112, 112, 3), 90, np.uint8))
    people = [replace(each, face=each.face and face) for each in PEOPLE]
    gallery.write_gallery(Gallery(MODEL).with_entries(people), tmp_path / "x.gallery")
    found = inspect(tmp_path / "x.gallery")
    assert found.kind == "gallery"
    assert found.facts["people"] == {"Ann": 2, "Eve": 1, "Zoë": 1}
    assert (found.facts["photos"], found.facts["faces_kept"], found.facts["dimensions"]) == (4, 3, 4)
    assert found.facts["model"] == MODEL.digest
    assert found.facts["trained_on"] == ["synth_people (synthetic)"]
    assert len(found.pictures) == 3
    gallery.write_gallery(Gallery(replace(MODEL, trained_on=None)), tmp_path / "x.gallery")
    assert (
        inspect(tmp_path / "x.gallery").facts["trained_on"] == model_metadata.describe_training_sets(None) == "unknown"
    )


def test_a_stored_gallery_is_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "_GROUP", 3)
    monkeypatch.setattr(gallery, "_BLOCK", 2)
    made = Gallery(MODEL).with_entries([entry(f"p{number}", number) for number in range(8)])
    gallery.write_gallery(made, tmp_path / "x")
    assert pq.read_metadata(tmp_path / "x").num_row_groups == 3
    assert same(gallery.read_gallery(tmp_path / "x"), made)
    stored = gallery.StoredGallery(tmp_path / "x")
    assert (len(stored), stored.model) == (8, MODEL)
    names, parts = zip(*stored.blocks(), strict=True)
    assert all(len(part) <= 2 for part in parts)
    np.testing.assert_array_equal(np.concatenate(parts), made.matrix)
    assert [name for part in names for name in part] == [each.name for each in made.entries]
    found = stored.entries_of([7, 2, 3])
    assert [found[row].source for row in (2, 3, 7)] == [made.entries[row].source for row in (2, 3, 7)]
    np.testing.assert_array_equal(found[3].embedding, made.entries[3].embedding)
    assert found[7].face == b"crop"


def test_a_stored_gallery_is_checked_as_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="there is no gallery"):
        gallery.StoredGallery(tmp_path / "x")
    made = Gallery(MODEL).with_entries(PEOPLE)
    long = replace(made, entries=(*made.entries[:3], replace(made.entries[3], embedding=np.ones(4, np.float32))))
    gallery.write_gallery(long, tmp_path / "x")
    with pytest.raises(FormatError, match="not of length 1"):
        list(gallery.StoredGallery(tmp_path / "x").blocks())
    gallery.write_gallery(replace(made, model=replace(MODEL, dim=5)), tmp_path / "x")
    with pytest.raises(FormatError, match="lacks parts of some photos"):
        list(gallery.StoredGallery(tmp_path / "x").blocks())
    pq.write_table(pq.read_table(tmp_path / "x").replace_schema_metadata(None), tmp_path / "x")
    with pytest.raises(FormatError, match="no gallery of facerec"):
        gallery.StoredGallery(tmp_path / "x")
    pq.write_table(pq.read_table(tmp_path / "x").drop_columns(["name"]), tmp_path / "x")
    with pytest.raises(FormatError, match="its columns are not"):
        gallery.StoredGallery(tmp_path / "x")
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:-9])
    with pytest.raises(FormatError, match="is not a readable table"):
        gallery.StoredGallery(tmp_path / "x")
