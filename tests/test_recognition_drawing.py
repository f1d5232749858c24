"""Pictures of answers are made for any answer: decided or not, with odd names, missing faces, crowds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facerec.core import ParamsError
from facerec.detection import Faces
from facerec.imaging import images
from facerec.recognition import results
from facerec.recognition.results import Candidate, IdentifiedFace, PhotoComparison, PhotoFace, Portrait, SearchResult
from facerec.recognition.thresholds import Measurement, Threshold
from facerec.reporting import recognition_pictures
from facerec.store.gallery import GalleryEntry

ODD = ("plain", "$x^{2$ _%", "李小龍", "a" * 200, "a/" * 60 + "b.jpg")
CROP = images.encode_jpeg(np.full((112, 96, 3), 120, np.uint8))
UNIT = np.ones(4, np.float32) / 2


def threshold() -> Threshold:
    rng = np.random.default_rng(1)
    same = np.arange(400) < 200
    distances = np.clip(np.where(same, 0.6, 2.0) + rng.normal(0, 0.2, 400), 0, 3.99)
    return Measurement("made_up", True, distances, same).at(0.01)


def face(place: int = 0, score: float | None = 0.9) -> PhotoFace:
    box = np.array([20, 20, 80, 90], np.float32) + 100 * place
    landmarks = box[:2] + np.array([(15, 20), (45, 20), (30, 35), (18, 50), (42, 50)], np.float32)
    if score is None:
        return PhotoFace(None, None, None, "crop", CROP, UNIT)
    return PhotoFace(box, landmarks, score, "detector", CROP, UNIT)


def portrait(name: str, chosen: PhotoFace, shape: tuple[int, int] = (120, 150)) -> Portrait:
    boxes = np.array([[20, 20, 80, 90], [100, 10, 140, 60]], np.float32)
    found = Faces(boxes, np.zeros((2, 5, 2), np.float32), np.ones(2, np.float32))
    return Portrait(name, np.full((*shape, 3), 80, np.uint8), found, chosen)


def search(names: tuple[str, ...], decided: Threshold | None) -> SearchResult:
    people = []
    for number, name in enumerate(names):
        entry = GalleryEntry(name, f"{name}.jpg", f"{number:064x}", UNIT, 0.9, "detector", CROP if number % 2 else None)
        candidates = tuple(Candidate(replace(entry), similarity) for similarity in (0.9, 0.4, -0.1)[: number % 3 + 1])
        people.append(
            IdentifiedFace(face(number % 3, None if number == 1 else 0.9), candidates, name if number else None)
        )
    pixels = np.full((400, 500, 3), 80, np.uint8)
    return SearchResult(names[0], pixels, tuple(people), decided, 9, "no evidence")


@pytest.mark.parametrize(
    ("decided", "similarity", "shape"), [(True, -1.0, (120, 150)), (True, 1.0, (3000, 60)), (False, 0.65, (120, 2000))]
)
def test_comparisons_are_drawn(decided: bool, similarity: float, shape: tuple[int, int], tmp_path: Path) -> None:
    first, second = portrait(ODD[1], face()), portrait(ODD[2], face(score=None), shape)
    answer = PhotoComparison(first, second, similarity, threshold() if decided else None, "")
    recognition_pictures.save_picture(recognition_pictures.draw_comparison(answer), tmp_path / "x.png")
    assert images.decode((tmp_path / "x.png").read_bytes()).shape == (990, 1350, 3)


def test_searches_are_drawn(tmp_path: Path) -> None:
    for names, decided in ((ODD, threshold()), (ODD[:1], None)):
        recognition_pictures.save_picture(recognition_pictures.draw_search(search(names, decided)), tmp_path / "x.svg")
        assert b"<svg" in (tmp_path / "x.svg").read_bytes()


def test_equal_answers_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        recognition_pictures.save_picture(
            recognition_pictures.draw_search(search(ODD[:2], threshold())), tmp_path / name
        )
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_names_of_pictures() -> None:
    recognition_pictures.check_picture_name(Path("x.png"))
    for name in ("x.jpg", "x", "x.PNG "):
        with pytest.raises(ParamsError, match=r"written as \.png or \.svg"):
            recognition_pictures.check_picture_name(Path(name))


def test_long_names_keep_what_tells_them_apart() -> None:
    assert results.shorten_name("photos/ann/1.jpg") == "photos/ann/1.jpg"
    assert results.shorten_name("/a/very/long/path/to/the/photos/of/ann/1.jpg", 20) == "photos/of/ann/1.jpg"
    assert results.shorten_name("x" * 50, 10) == "…" + "x" * 9
