"""Which face of a photo is chosen."""

import numpy as np
import pytest

from facerec import detection
from facerec.core import ParamsError
from facerec.detection.faces import Faces


def faces(*rows: tuple[float, float, float, float, float]) -> Faces:
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Faces(table[:, :4], np.zeros((len(table), 5, 2), np.float32), table[:, 4])


CROWD = faces((0, 0, 40, 40, 0.99), (80, 80, 120, 120, 0.8), (130, 130, 190, 190, 0.81), (0, 150, 50, 200, 0.98))


@pytest.mark.parametrize(("rule", "expected"), [("center", 1), ("largest", 2), ("score-area", 2), ("best-score", 0)])
def test_each_rule_chooses_its_face(rule, expected):
    assert detection.choose_face(CROWD, (200, 200), rule) == expected


def test_score_area_differs_from_largest():
    assert detection.choose_face(faces((0, 0, 10, 10, 0.9), (0, 0, 11, 10, 0.7)), (20, 20), "score-area") == 0
    assert detection.choose_face(faces((0, 0, 10, 10, 0.9), (0, 0, 11, 10, 0.7)), (20, 20), "largest") == 1


def test_center_takes_height_and_width_in_this_order():
    wide = faces((0, 0, 20, 20, 0.9), (140, 0, 160, 20, 0.9))
    assert detection.choose_face(wide, (100, 300)) == 1
    assert detection.choose_face(wide, (300, 100)) == 0


def test_center_weighs_the_squared_distance_twice():
    # areas 400 and 900; squared distances 0 and 250: 400 > 900 - 2 * 250 > 900 - 500 - 1
    assert detection.choose_face(faces((40, 40, 60, 60, 0.9), (35, 50.9, 65, 80.9, 0.9)), (100, 100)) == 0
    assert detection.choose_face(faces((40, 40, 60, 60, 0.9), (35, 50.7, 65, 80.7, 0.9)), (100, 100)) == 1


def test_annotated_chooses_the_highest_overlap_or_nobody():
    assert detection.choose_face(CROWD, (200, 200), "annotated", (75, 85, 118, 119)) == 1
    assert detection.choose_face(CROWD, (200, 200), "annotated", (45, 45, 60, 60)) is None
    with pytest.raises(ParamsError, match="annotated box"):
        detection.choose_face(CROWD, (200, 200), "annotated")


def test_nobody_is_chosen_where_nobody_is_and_unknown_rules_are_refused():
    assert detection.choose_face(faces(), (100, 100)) is None
    with pytest.raises(ParamsError, match="center, largest"):
        detection.choose_face(CROWD, (200, 200), "first")


def test_annotated_landmarks_choose_the_nearest_face_whose_box_holds_their_middle():
    around = np.array([(-8, -8), (8, -8), (0, 0), (-6, 8), (6, 8)], np.float32)
    boxes = np.array([(0, 0, 100, 100), (60, 60, 90, 90), (10, 10, 40, 40)], np.float32)
    landmarks = np.stack([around + (50, 50), around + (75, 75), around + (25, 25)])
    crowd = Faces(boxes, landmarks, np.array([0.9, 0.8, 0.7], np.float32))
    assert detection.choose_face(crowd, (100, 100), "annotated", around + (74, 74)) == 1
    assert detection.choose_face(crowd, (100, 100), "annotated", around + (55, 50)) == 0
    # nearer to face 2, in whose box it is not
    assert detection.choose_face(crowd, (100, 100), "annotated", around + (41, 25)) == 0
    assert detection.choose_face(crowd, (100, 100), "annotated", around + (300, 25)) is None
    with pytest.raises(ParamsError, match="shape"):
        detection.choose_face(crowd, (100, 100), "annotated", around[:3])


def test_one_face_is_chosen_by_every_rule_but_not_against_an_annotation():
    one = faces((0, 0, 10, 10, 0.9))
    assert all(detection.choose_face(one, (500, 500), rule) == 0 for rule in detection.RULES)
    assert detection.choose_face(one, (500, 500), "annotated", (400, 400, 450, 450)) is None
