"""Several processes change one gallery: nobody's people are lost, and a removal wins over an enrolment before it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import multiprocessing
import os
from collections.abc import Iterable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from facerec.core import FacerecError, exclusive
from facerec.recognition.enrolling import Enrolment, GalleryChanges, change_gallery
from facerec.recognition.recogniser import EnrolledPhoto, NamedPhoto
from facerec.store import gallery
from facerec.store.gallery import Gallery, GalleryEntry, GalleryModel
from tests.killed import kill_at_every_rename

MODEL = GalleryModel("ab" * 32, 2, {})
FORK = multiprocessing.get_context("fork")


class SlowRecogniser:
    """In the place of a `Recogniser`: says when it has begun, and ends when it is let."""

    def __init__(self, begun: Event | None = None, go_on: Event | None = None) -> None:
        self.begun, self.go_on = begun, go_on

    def gallery(self, path: Path | None) -> Gallery:
        return Gallery(MODEL) if path is None else gallery.read_gallery(path)

    def enroll(self, photos: Iterable[NamedPhoto], keep_faces: bool) -> Iterator[EnrolledPhoto]:
        if self.begun and self.go_on:
            self.begun.set()
            assert self.go_on.wait(60)
        for photo in photos:
            unit = np.array([0.6, 0.8], np.float32)
            digest = hashlib.sha256(photo.data).hexdigest()
            yield EnrolledPhoto(GalleryEntry(photo.name, photo.source, digest, unit, 0.5, "detector"), 1)


def photos_of(folder: Path, *names: str) -> tuple[Path, ...]:
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "1.jpg").write_bytes(f"photo of {name}".encode())
    return tuple(folder / name for name in names)


def enroll(team: Path, paths: tuple[Path, ...], *removed: str, recogniser: SlowRecogniser | None = None) -> Enrolment:
    chosen: Any = recogniser or (SlowRecogniser() if paths else None)
    return change_gallery(team, GalleryChanges(paths, None, None, removed, True), chosen)


class LongEnrolment:
    """An enrolment in a process of its own, which has begun."""

    def __init__(self, team: Path, paths: tuple[Path, ...]) -> None:
        begun, self.go_on = FORK.Event(), FORK.Event()
        recogniser = SlowRecogniser(begun, self.go_on)
        self.process = FORK.Process(target=enroll, args=(team, paths), kwargs={"recogniser": recogniser})
        self.process.start()
        assert begun.wait(60)

    def finish(self) -> int | None:
        """Let it end; its exit code."""
        self.go_on.set()
        self.process.join(60)
        return self.process.exitcode


def people(team: Path) -> set[str]:
    return set(gallery.read_gallery(team).people)


@pytest.mark.attack("Galleries", "several enrolments into one gallery at once", "all people are kept")
def test_enrolments_at_once_keep_the_people_of_all(tmp_path: Path) -> None:
    team = tmp_path / "team"
    running = [LongEnrolment(team, photos_of(tmp_path, name)) for name in ("ann", "bob", "eve")]
    assert [each.finish() for each in running] == [0, 0, 0]
    assert people(team) == {"ann", "bob", "eve"}
    assert not list(tmp_path.glob(".team*"))


def many(team: Path, folder: Path, count: int) -> None:
    for number in range(count):
        enroll(team, photos_of(folder, f"{folder.name}{number}"))


def test_no_enrolment_of_many_is_lost(tmp_path: Path) -> None:
    team = tmp_path / "team"
    writers = [FORK.Process(target=many, args=(team, tmp_path / name, 15)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert len(people(team)) == 30


@pytest.mark.attack("Galleries", "a removal during an enrolment", "the person stays removed")
def test_a_removal_during_an_enrolment_stays(tmp_path: Path) -> None:
    team = tmp_path / "team"
    enroll(team, photos_of(tmp_path, "ann", "bob"))
    (tmp_path / "ann/2.jpg").write_bytes(b"another photo")
    running = LongEnrolment(team, photos_of(tmp_path, "ann", "eve"))
    assert enroll(team, (), "ann").removed == {"ann": 1}
    assert people(team) == {"bob"}
    assert running.finish() == 0
    assert people(team) == {"bob", "eve"}
    enroll(team, photos_of(tmp_path, "ann"))  # it began after the removal: she has agreed again
    assert people(team) == {"ann", "bob", "eve"}


def test_who_came_and_went_during_an_enrolment_stays_away(tmp_path: Path) -> None:
    team = tmp_path / "team"
    running = LongEnrolment(team, photos_of(tmp_path, "ann", "bob"))
    enroll(team, photos_of(tmp_path, "ann"))
    enroll(team, (), "ann")
    assert running.finish() == 0
    assert people(team) == {"bob"}


def test_an_enrolment_of_removed_people_only_is_told(tmp_path: Path) -> None:
    team = tmp_path / "team"
    enroll(team, photos_of(tmp_path, "ann", "bob"))

    class Meanwhile(SlowRecogniser):
        def enroll(self, photos: Iterable[NamedPhoto], keep_faces: bool) -> Iterator[EnrolledPhoto]:
            enroll(team, (), "ann")
            yield from super().enroll(photos, keep_faces)

    with pytest.raises(FacerecError, match=r"ann was removed from the gallery meanwhile and is not enrolled again"):
        enroll(team, photos_of(tmp_path, "ann"), recogniser=Meanwhile())
    assert people(team) == {"bob"}
    enroll(team, photos_of(tmp_path, "ann"))
    told = enroll(team, photos_of(tmp_path, "ann", "eve"), recogniser=Meanwhile())
    assert [(each.source, each.reason[:15]) for each in told.refused] == [("1.jpg", "ann was removed")]
    assert people(team) == {"bob", "eve"}


def test_a_person_is_removed_although_no_photo_can_be_added(tmp_path: Path) -> None:
    team = tmp_path / "team"
    enroll(team, photos_of(tmp_path, "ann", "bob"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FacerecError):
        enroll(team, (tmp_path / "empty",), "ann")
    assert people(team) == {"bob"}


@pytest.mark.attack("Galleries", "kill -9 of an enrolment or a removal", "a whole gallery, no lock left")
def test_kill_9_of_a_removal_or_an_enrolment_leaves_a_whole_gallery(tmp_path: Path) -> None:
    team, seen = tmp_path / "team", []
    paths = photos_of(tmp_path, "ann", "bob", "eve")

    def prepare() -> None:
        team.unlink(missing_ok=True)
        enroll(team, paths[:2])

    kill_at_every_rename(prepare, lambda: enroll(team, paths[2:], "ann"), lambda: seen.append(people(team)))
    assert seen[0] == {"ann", "bob"}
    assert {"bob"} in map(frozenset, seen), "killed between the removal and the photos"
    assert seen[-1] == {"bob", "eve"}
    assert {frozenset(each) for each in seen} == {
        frozenset(("ann", "bob")),
        frozenset(("bob",)),
        frozenset(("bob", "eve")),
    }


@pytest.mark.attack("Galleries", "a link to a gallery", "the file it leads to is changed")
def test_a_link_to_a_gallery_leads_to_the_gallery(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    enroll(tmp_path / "real/team", photos_of(tmp_path, "ann", "bob"))
    (tmp_path / "link").symlink_to("real/team")
    enroll(tmp_path / "link", (), "ann")
    assert people(tmp_path / "real/team") == {"bob"}
    assert (tmp_path / "link").is_symlink()


@pytest.mark.attack("Galleries", "names of removed people read from the log", "it has salted digests only")
def test_the_log_keeps_no_name(tmp_path: Path) -> None:
    team = tmp_path / "team"
    enroll(team, photos_of(tmp_path, "Ann Other", "bob"))
    enroll(team, (), "Ann Other")
    held = gallery.read_gallery(team)
    assert [each.is_of("Ann Other") for each in held.removals] == [True]
    assert not held.removals[0].is_of("bob")
    plain = (b"Ann Other", hashlib.sha256(b"Ann Other").hexdigest().encode(), b"photo of Ann")
    assert not any(trace in team.read_bytes() for trace in plain)
    assert held.without("bob").removals[0] == held.removals[0]
    assert gallery.Removal.of("bob") != gallery.Removal.of("bob")


def test_a_gallery_of_version_1_is_read_and_becomes_one_of_version_2(tmp_path: Path, monkeypatch: Any) -> None:
    team = tmp_path / "team"
    monkeypatch.setattr(gallery, "VERSION", 1)
    enroll(team, photos_of(tmp_path, "ann", "bob"))
    monkeypatch.undo()
    assert enroll(team, (), "ann").gallery.people == {"bob": 1}
    assert len(gallery.read_gallery(team).removals) == 1
    assert b'"gallery": 2' in team.read_bytes()


def test_without_locks_nothing_is_changed(tmp_path: Path, monkeypatch: Any) -> None:
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    team = tmp_path / "team"
    enroll(team, photos_of(tmp_path, "ann"))
    before = team.read_bytes()
    monkeypatch.setattr("facerec.core.files.fcntl", SimpleNamespace(**{**vars(fcntl), "flock": refuse}))
    with pytest.raises(FacerecError, match=r"has no locks, so changes of two programs could be lost; use another"):
        enroll(team, (), "ann")
    assert team.read_bytes() == before


def test_a_killed_holder_does_not_block_the_others(tmp_path: Path) -> None:
    def hold() -> None:
        with exclusive(tmp_path / "team"):
            os._exit(0)

    process = FORK.Process(target=hold)
    process.start()
    process.join(60)
    assert (tmp_path / ".team.lock").exists()
    with exclusive(tmp_path / "team"):
        pass
    assert os.listdir(tmp_path) == []
