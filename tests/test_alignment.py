"""Alignment against golden matrices, and the properties of a similarity transform."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facerec.core import ParamsError
from facerec.imaging import alignment
from facerec.imaging.alignment import AlignmentError

GOLDEN = json.loads((Path(__file__).parent / "golden" / "alignment.json").read_text())
LANDMARKS = np.array([case["landmarks"] for case in GOLDEN])


def umeyama(source, target):
    """The transform by singular value decomposition, as in the paper; independent of ours."""
    a, b = source - source.mean(0), target - target.mean(0)
    left, singular, right = np.linalg.svd(b.T @ a / len(a))
    sign = np.array([1.0, np.sign(np.linalg.det(left @ right))])
    turn = left @ np.diag(sign) @ right * (singular @ sign) / a.var(0).sum()
    return np.column_stack([turn, target.mean(0) - turn @ source.mean(0)])


@pytest.mark.parametrize(("size", "key"), [(112, "M"), (224, "M224"), (128, "M128")])
def test_similarity_equals_golden_matrices(size: int, key: str):
    # The golden matrices were computed in float32 from the template rounded to 4 decimals, which
    # alone moves them by up to 4.6e-5 pixels at 112; ours are float64 from the full template.
    expected = np.array([case[key] for case in GOLDEN])
    scale = 2 if size == 224 else 1
    np.testing.assert_allclose(alignment.similarity(LANDMARKS, size), expected, rtol=0, atol=5e-5 * scale)


@pytest.mark.parametrize("size", [112, 224, 128, 256, (112, 96), (224, 192)])
def test_similarity_equals_umeyama_by_svd(size):
    expected = np.stack([umeyama(points, alignment.template(size)) for points in LANDMARKS])
    np.testing.assert_allclose(alignment.similarity(LANDMARKS, size), expected, rtol=0, atol=1e-10)


def test_float32_landmarks_are_computed_in_float64():
    single = alignment.similarity(LANDMARKS.astype(np.float32))
    np.testing.assert_array_equal(single, alignment.similarity(LANDMARKS))
    assert single.dtype == np.float64


def test_one_face_may_come_without_batch_axis():
    np.testing.assert_array_equal(alignment.similarity(LANDMARKS[3])[0], alignment.similarity(LANDMARKS)[3])


def test_no_faces_give_no_matrices():
    assert alignment.similarity(np.zeros((0, 5, 2))).shape == (0, 2, 3)


def test_template_of_112_high_and_96_wide_lies_8_pixels_to_the_left():
    np.testing.assert_allclose(alignment.template((112, 96)) + np.array([8, 0]), alignment.TEMPLATE)
    square, narrow = alignment.similarity(LANDMARKS), alignment.similarity(LANDMARKS, (112, 96))
    np.testing.assert_allclose(square[:, :, 2] - narrow[:, :, 2], np.tile((8.0, 0.0), (len(square), 1)), atol=1e-9)


@pytest.mark.parametrize(
    ("size", "name"),
    [
        (112, "arcface-112"),
        (336, "arcface-112"),
        (896, "arcface-112"),  # 8 x 112 and 7 x 128
        (100, "arcface-112"),
        (128, "arcface-128"),
        (384, "arcface-128"),
        ((112, 96), "arcface-112x96"),
        ((336, 288), "arcface-112x96"),
        ((56, 48), "arcface-7x6"),
        ((160, 120), "arcface-4x3"),
        ((96, 112), "arcface-6x7"),
    ],
)
def test_a_size_has_one_geometry_and_its_name(size, name):
    assert alignment.template_name(size) == name
    height, width = alignment.shape_of(size)
    assert (alignment.template(size) > 0).all()
    assert (alignment.template(size) < (width, height)).all()


def test_sizes_of_one_name_differ_in_resolution_alone():
    for one, two in ((112, 100), (128, 256), ((160, 120), (80, 60)), ((112, 96), (224, 192))):
        scale = alignment.shape_of(one)[0] / alignment.shape_of(two)[0]
        np.testing.assert_allclose(alignment.template(one), alignment.template(two) * scale, rtol=1e-12)


def test_a_size_without_template_holds_the_square_one_in_its_middle():
    np.testing.assert_allclose(alignment.template(160), alignment.TEMPLATE * 160 / 112)
    np.testing.assert_allclose(alignment.template((112, 150)), alignment.TEMPLATE + (19, 0))
    np.testing.assert_allclose(alignment.template((150, 112)), alignment.TEMPLATE + (0, 19))


@pytest.mark.parametrize("size", [0, -112, (112, 0), (-1, -1)])
def test_sizes_without_extent_are_refused(size):
    with pytest.raises(ParamsError, match="positive sides"):
        alignment.template(size)


@pytest.mark.parametrize("size", [112, (112, 96), (60, 90)])
@pytest.mark.parametrize("margin", [0.0, 0.25])
def test_an_upright_crop_holds_the_box_and_its_margin_in_its_middle(size, margin):
    box = np.array([30.0, 20.0, 70.0, 100.0])
    height, width = alignment.shape_of(size)
    (matrix,) = alignment.upright(box, size, margin)
    assert matrix[0, 1] == matrix[1, 0] == 0
    assert matrix[0, 0] == matrix[1, 1]
    first, last = (matrix[:, :2] @ corner + matrix[:, 2] for corner in (box[:2], box[2:]))
    np.testing.assert_allclose((first + last) / 2, [(width - 1) / 2, (height - 1) / 2])
    np.testing.assert_allclose(max((last - first) * (1 + margin) / (width, height)), 1)


def test_an_upright_crop_of_the_whole_square_photo_is_the_photo():
    photo = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    (matrix,) = alignment.upright(alignment.centre_square((60, 60)), 60)
    np.testing.assert_array_equal(alignment.warp(photo, matrix, 60), photo)
    wide = np.pad(photo, ((0, 0), (13, 13), (0, 0)))
    (matrix,) = alignment.upright(alignment.centre_square((60, 86)), 60)
    np.testing.assert_array_equal(alignment.warp(wide, matrix, 60), photo)


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (5, 0, 1, 5), (0, 0, np.nan, 5), (0, 0, np.inf, 5)])
def test_a_box_without_extent_is_refused(box):
    with pytest.raises(AlignmentError, match="finite"):
        alignment.upright(box)


@given(
    scale=st.floats(0.05, 50),
    angle=st.floats(-np.pi, np.pi),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_a_moved_template_is_brought_back_exactly(scale, angle, shift):
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = alignment.TEMPLATE @ rotation.T + shift
    matrix = alignment.similarity(moved)[0]
    np.testing.assert_allclose(matrix[:, :2] @ rotation, np.eye(2), atol=1e-9)
    assert alignment.residuals(moved)[0] < 1e-6


@given(st.lists(st.floats(-300, 300), min_size=10, max_size=10), st.integers(0, 3), st.floats(-1e-2, 1e-2))
def test_no_other_similarity_is_closer(values, parameter, change):
    points = np.array(values).reshape(5, 2)
    if not alignment.usable(points)[0]:
        return
    (a, _, x), (b, _, y) = alignment.similarity(points)[0]

    def squared_error(a, b, x, y):
        return ((points @ np.array([[a, b], [-b, a]]) + (x, y) - alignment.TEMPLATE) ** 2).sum()

    best = np.array([a, b, x, y])
    other = best.copy()
    other[parameter] += change
    assert squared_error(*best) <= squared_error(*other) + 1e-6


def test_mirrored_faces_are_not_reflected():
    mirrored = LANDMARKS * (-1, 1)
    assert (np.linalg.det(alignment.similarity(mirrored)[:, :, :2]) > 0).all()


@pytest.mark.parametrize(
    "bad", [np.full((5, 2), 7.0), np.full((5, 2), np.nan), np.where(np.eye(5, 2) > 0, np.inf, 1.0)]
)
def test_degenerate_landmarks_are_an_error_that_names_the_face(bad):
    batch = np.stack([LANDMARKS[0], bad])
    assert alignment.usable(batch).tolist() == [True, False]
    with pytest.raises(AlignmentError, match="Face 1 cannot be aligned"):
        alignment.similarity(batch)


def test_landmarks_of_a_wrong_shape_are_refused():
    with pytest.raises(AlignmentError, match="shape"):
        alignment.similarity(np.zeros((3, 10)))


def test_warp_puts_the_landmarks_on_the_template():
    photo = np.zeros((300, 400, 3), np.uint8)
    rotation = 1.7 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    points = alignment.TEMPLATE @ rotation.T + (120, 40)
    for channel, point in zip((0, 1, 2, 0, 1), points, strict=True):
        dot = np.zeros(photo.shape[:2], np.uint8)
        cv2.circle(dot, tuple(int(v) for v in (point * 16).round()), 5 * 16, 255, -1, cv2.LINE_AA, 4)
        photo[..., channel] |= dot
    crop = alignment.warp(photo, alignment.similarity(points)[0])
    assert crop.shape == (112, 112, 3)
    rows, columns = np.mgrid[:112, :112]
    for channel, point in zip((0, 1, 2, 0, 1), alignment.TEMPLATE, strict=True):
        near = crop[..., channel] * (np.hypot(columns - point[0], rows - point[1]) < 8).astype(float)
        centre = (near * columns).sum() / near.sum(), (near * rows).sum() / near.sum()
        np.testing.assert_allclose(centre, point, atol=0.15)


def test_warp_is_black_outside_the_photo_and_takes_a_height_and_width():
    photo = np.full((10, 10, 3), 255, np.uint8)
    crop = alignment.warp(photo, np.array([[1.0, 0, 40], [0, 1.0, 50]]), (112, 96))
    assert crop.shape == (112, 96, 3)
    assert (crop[50:60, 40:50] == 255).all()
    assert crop.sum() == 255 * 300


def test_warp_refuses_a_matrix_with_nan():
    with pytest.raises(AlignmentError):
        alignment.warp(np.zeros((9, 9, 3), np.uint8), np.full((2, 3), np.nan))
