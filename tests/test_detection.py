"""MTCNN on drawn faces with known landmarks, its weights, and suppression."""

import pickle
import sys

import lz4.frame
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facerec import detection
from facerec.core import FormatError, ImageError, ParamsError
from facerec.detection import boxes, mtcnn_networks
from facerec.detection.boxes import suppress_contained, suppress_overlaps
from facerec.detection.faces import Faces, batch_images, sorted_faces
from facerec.detection.mtcnn import _pixels, _tiles, average_window, photo_sums
from facerec.detection.mtcnn_networks import read_mtcnn_weights, weights_folder
from tests import cartoon

SCENES = [
    {},
    {"width": 120.0},
    {"width": 50.0, "centre": (60.0, 80.0)},
    {"roll": 0.25},
    {"width": 60.0, "centre": (130.0, 110.0), "roll": -0.2},
]


@pytest.fixture(scope="module")
def mtcnn():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield detection.build_detector("mtcnn", device="cpu")
    torch.set_num_threads(threads)


@pytest.mark.parametrize("scene", SCENES)
def test_mtcnn_finds_a_drawn_face_and_its_landmarks_in_order(mtcnn, scene):
    image, landmarks = cartoon.photo(scene)
    (faces,) = mtcnn.detect([image])
    assert len(faces) == 1
    assert faces.scores[0] > 0.9
    errors = np.linalg.norm(faces.landmarks[0] - landmarks[0], axis=1)
    assert errors.max() < 0.06 * scene.get("width", 80)
    x1, y1, x2, y2 = faces.boxes[0]
    assert (landmarks[0] > (x1, y1)).all()
    assert (landmarks[0] < (x2, y2)).all()


def test_mtcnn_finds_every_face_of_a_photo_best_first(mtcnn):
    image, landmarks = cartoon.photo(
        {"centre": (80.0, 100.0)}, {"centre": (280.0, 120.0), "width": 60.0}, {"centre": (180.0, 210.0), "width": 50.0},
        width=360, height=280,
    )  # fmt: skip
    (faces,) = mtcnn.detect([image])
    assert len(faces) == 3
    assert (np.diff(faces.scores) <= 0).all()
    noses = sorted(faces.landmarks[:, 2].tolist())
    np.testing.assert_allclose(noses, sorted(landmarks[:, 2].tolist()), atol=6)


def test_mtcnn_mirrored_photo_gives_mirrored_landmarks(mtcnn):
    image, _ = cartoon.photo({"centre": (90.0, 100.0)})
    plain, mirrored = mtcnn.detect([image, np.ascontiguousarray(image[:, ::-1])])
    back = mirrored.landmarks[0][[1, 0, 2, 4, 3]] * (-1, 1) + (199, 0)
    np.testing.assert_allclose(plain.landmarks[0], back, atol=4)  # 5 % of the face


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 260), st.integers(1, 260), st.integers(0, 4)), max_size=5))
def test_mtcnn_batch_equals_photos_one_by_one(mtcnn, sizes):
    people = [cartoon.photo(scene)[0] for scene in SCENES]
    photos = [np.resize(people[scene], (height, width, 3)) for height, width, scene in sizes]
    photos += people[:2]
    for image, batched in zip(photos, mtcnn.detect(photos), strict=True):
        same_faces(batched, mtcnn.detect([image])[0])


def same_faces(a, b):
    np.testing.assert_array_equal(a.boxes, b.boxes)
    np.testing.assert_array_equal(a.landmarks, b.landmarks)
    np.testing.assert_array_equal(a.scores, b.scores)


def test_mtcnn_batched_as_on_a_gpu_finds_the_same_faces(mtcnn, monkeypatch):
    photos = [cartoon.photo(scene)[0] for scene in SCENES] + [cartoon.photo({}, height=180)[0]]
    alone = mtcnn.detect(photos)
    monkeypatch.setattr(
        "facerec.detection.mtcnn.batch_images", lambda images, device: batch_images(images, torch.device("cuda"))
    )
    for one, many in zip(alone, mtcnn.detect(photos), strict=True):
        np.testing.assert_allclose(one.landmarks, many.landmarks, atol=0.02)
        np.testing.assert_allclose(one.boxes, many.boxes, atol=0.02)


def test_photos_of_one_size_are_batched_but_not_on_a_cpu():
    photos = [np.zeros((1000, 1000 * (1 + k % 2), 3), np.uint8) for k in range(10)]
    assert list(batch_images(photos, torch.device("cpu"))) == [[k] for k in range(10)]
    batches = list(batch_images(photos, torch.device("cuda")))
    assert batches == [[0, 2, 4, 6], [8], [1, 3], [5, 7], [9]]


def test_mtcnn_tiles_give_the_map_of_the_whole_level(mtcnn, monkeypatch):
    image = cartoon.photo({"width": 60.0, "centre": (130.0, 110.0)}, width=301, height=260)[0]
    whole = mtcnn.detect([image])[0]
    assert len(whole) == 1
    monkeypatch.setattr("facerec.detection.mtcnn._TILE", 9)
    np.testing.assert_allclose(mtcnn.detect([image])[0].landmarks, whole.landmarks, atol=0.02)
    monkeypatch.undo()
    assert len(list(_tiles((2000, 3000)))) == 6


@settings(max_examples=30, deadline=None)
@given(st.integers(12, 300), st.integers(12, 300), st.integers(3, 40))
def test_tiles_cover_every_place_of_the_map_once(rows, columns, side):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("facerec.detection.mtcnn._TILE", side)
        tiles = list(_tiles((rows, columns)))

    def places(size):  # of PNet's map: pooling rounds up
        return -(-(size - 2) // 2) - 4

    seen = np.zeros((places(rows), places(columns)), int)
    for left, top, right, bottom in tiles:
        down, across = places(bottom - top), places(right - left)
        seen[top // 2 : top // 2 + down, left // 2 : left // 2 + across] += 1
    assert (seen == 1).all()


@given(
    st.tuples(st.integers(-30, 50), st.integers(-30, 60)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
)
def test_windows_are_averaged_as_torch_averages_by_area(corner, size, shape):
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    left, top = corner
    window = (left, top, left + size[0], top + size[1])
    black = np.zeros((40 + 200, 50 + 200, 3), np.float32)
    black[100:140, 100:150] = image
    cut = black[top + 100 : top + 100 + size[1], left + 100 : left + 100 + size[0]]
    pixels = torch.from_numpy(cut.copy()).permute(2, 0, 1)[None]
    expected = torch.nn.functional.interpolate(pixels, size=shape, mode="area")[0].permute(1, 2, 0)
    np.testing.assert_allclose(average_window(image, window, shape), (expected.numpy() - 127.5) / 128, atol=2e-6)


def test_a_part_of_an_averaged_window_is_that_part():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    whole = average_window(image, (0, 0, 50, 40), (23, 31))
    part = average_window(image, (0, 0, 50, 40), (23, 31), part=(4, 3, 20, 23))
    np.testing.assert_array_equal(part, whole[3:23, 4:20])


@pytest.mark.parametrize("summed", [400, 10**6])
def test_sums_kept_or_made_band_by_band_give_the_same_windows(monkeypatch, summed):
    """A window of a large photo is averaged in parts, so that the sums of all its pixels are never in memory."""
    image = np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    windows = [((0, 0, 50, 60), (23, 31)), ((-9, 20, 45, 80), (24, 24)), ((60, 70, 80, 90), (5, 5))]
    expected = [average_window(image, *window, sums=photo_sums(image)) for window in windows]
    monkeypatch.setattr("facerec.detection.mtcnn._SUMMED", summed)
    assert (photo_sums(image) is None) == (summed == 400)
    for window, each in zip(windows, expected, strict=True):
        np.testing.assert_array_equal(average_window(image, *window), each)


def test_pnet_windows_and_published_boxes_are_whole_pixels_counted_from_one():
    assert _pixels(np.array([1.0, 1.0, 12.0, 24.0])) == (0, 0, 12, 24)
    assert _pixels(np.array([5.9, 1.2, 5.1, 3.9])) == (4, 0, 5, 3)  # at least a pixel
    assert _pixels(np.array([-3.7, 2.0, 8.0, 9.0]))[0] == -4


def test_mtcnn_finds_a_face_cut_by_the_edge_of_the_photo(mtcnn):
    image, landmarks = cartoon.photo({"centre": (30.0, 100.0)})
    (faces,) = mtcnn.detect([image])
    assert len(faces) == 1
    assert faces.boxes[0][0] < 0
    assert np.abs(faces.landmarks[0] - landmarks[0]).max() < 5


def test_mtcnn_without_photos_faces_or_room(mtcnn):
    assert mtcnn.detect([]) == []
    empty, tiny, thin = mtcnn.detect(
        [cartoon.photo()[0], np.zeros((8, 8, 3), np.uint8), np.zeros((300, 5, 3), np.uint8)]
    )
    assert len(empty) == len(tiny) == len(thin) == 0
    assert empty.boxes.shape == (0, 4)
    assert empty.landmarks.shape == (0, 5, 2)


def test_mtcnn_takes_views_of_any_stride(mtcnn):
    image, _ = cartoon.photo({"centre": (90.0, 100.0)})
    bgr = np.ascontiguousarray(image[..., ::-1])
    np.testing.assert_array_equal(mtcnn.detect([bgr[..., ::-1]])[0].boxes, mtcnn.detect([image])[0].boxes)


@pytest.mark.parametrize("bad", [np.zeros((50, 50), np.uint8), np.zeros((50, 50, 3)), np.zeros((50, 50, 4), np.uint8)])
def test_what_is_not_rgb_uint8_is_refused(mtcnn, bad):
    with pytest.raises(ImageError, match="Image 1 is"):
        mtcnn.detect([np.zeros((50, 50, 3), np.uint8), bad])


def test_mtcnn_survives_boxes_that_collapse(mtcnn, monkeypatch):
    def shrink(boxes, corrections, pixel=0):
        return boxes + np.array([1e3, 1e3, -1e3, -1e3])

    monkeypatch.setattr("facerec.detection.mtcnn.moved_boxes", shrink)
    assert len(mtcnn.detect([cartoon.photo({})[0]])) == 1


def test_mtcnn_min_face_bounds_what_is_found(mtcnn):
    image, _ = cartoon.photo({"width": 40.0})
    assert len(mtcnn.detect([image])[0]) == 1
    assert len(detection.build_detector("mtcnn", min_face=120, device="cpu").detect([image])[0]) == 0


def test_mtcnn_pyramid_starts_at_min_face_and_ends_at_the_window(mtcnn):
    scales = mtcnn.scales(250, 300)
    assert scales[0] == 12 / 20
    np.testing.assert_allclose(np.array(scales[1:]) / scales[:-1], 0.709)
    assert 250 * scales[-1] >= 12 > 250 * scales[-1] * 0.709
    assert mtcnn.scales(19, 300) == []


@pytest.mark.parametrize("options", [{"min_face": 5}, {"factor": 1.0}, {"thresholds": (0.5,)}, {"colour": "RGB"}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ParamsError, match="mtcnn"):
        detection.build_detector("mtcnn", **options)


def test_an_unknown_detector_is_refused():
    with pytest.raises(ParamsError, match="choose one of"):
        detection.build_detector("viola-jones")


def test_weights_are_read_without_joblib_or_tensorflow():
    assert [a.shape for a in read_mtcnn_weights(weights_folder() / "pnet.lz4")][:3] == [
        (3, 3, 3, 10), (10,), (1, 1, 10),
    ]  # fmt: skip
    assert "tensorflow" not in sys.modules


def test_weights_of_another_network_are_refused():
    with pytest.raises(FormatError, match="another network"):
        mtcnn_networks.load_mtcnn_weights(mtcnn_networks.rnet(), weights_folder() / "onet.lz4")


class _Evil:
    def __reduce__(self):
        return print, ("code ran",)


def test_weights_that_would_run_code_are_refused(tmp_path, capsys):
    path = tmp_path / "pnet.lz4"
    path.write_bytes(lz4.frame.compress(pickle.dumps([_Evil()])))
    with pytest.raises(FormatError, match=r"builtins\.print is not allowed"):
        read_mtcnn_weights(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("data", [b"", b"not lz4", lz4.frame.compress(b"not a pickle")])
def test_damaged_weights_are_refused(tmp_path, data):
    path = tmp_path / "pnet.lz4"
    path.write_bytes(data)
    with pytest.raises(FormatError, match="not a readable"):
        read_mtcnn_weights(path)


def test_cut_weights_are_refused(tmp_path):
    whole = lz4.frame.decompress((weights_folder() / "pnet.lz4").read_bytes())
    path = tmp_path / "pnet.lz4"
    path.write_bytes(lz4.frame.compress(whole[:5000]))
    with pytest.raises(FormatError, match="not a readable"):
        read_mtcnn_weights(path)


def test_suppression_keeps_the_best_of_overlapping_boxes():
    overlapping = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [50, 50, 60, 60], [0, 0, 10, 9]], float)
    scores = np.array([0.8, 0.9, 0.5, 0.7])
    assert suppress_overlaps(overlapping, scores, 0.5).tolist() == [1, 2]


def test_a_box_inside_another_is_suppressed_only_in_the_min_mode():
    nested = np.array([[0, 0, 100, 100], [40, 40, 60, 60], [90, 90, 120, 120]], float)
    scores = np.array([0.9, 0.99, 0.8])
    assert suppress_overlaps(nested, scores, 0.7).tolist() == [1, 0, 2]
    assert suppress_contained(nested, scores, 0.7).tolist() == [1, 2]


def test_suppression_is_greedy_not_transitive():
    chain = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], float)
    scores = np.array([0.9, 0.8, 0.7])
    assert suppress_overlaps(chain, scores, 0.4).tolist() == [0, 2]
    assert suppress_contained(chain, scores, 0.5).tolist() == [0, 2]


@pytest.mark.parametrize("count", [0, 1, 40, 700])
@pytest.mark.parametrize("threshold", [0.0, 1 / 3, 0.7])
def test_suppression_keeps_what_torchvision_keeps(count, threshold):
    import torchvision  # takes a second and a half, which each process that collects the tests would spend

    rng = np.random.default_rng(count)
    corners = rng.integers(0, 4 * count + 1, (count, 2))
    sides = rng.integers(-3, 60, (count, 2))  # also of empty boxes, and of corners exchanged
    fraction = rng.choice([0.0, 0.37], (count, 1))
    boxes = np.hstack([corners, corners + sides]) + fraction
    scores = rng.random(count).round(1)  # most are equal to others
    expected = torchvision.ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold)
    assert suppress_overlaps(boxes, scores, threshold).tolist() == expected.tolist()


@given(st.lists(st.tuples(*[st.floats(0, 100)] * 2, *[st.floats(1, 50)] * 2, st.floats(0, 1)), max_size=12))
def test_kept_boxes_never_overlap_more_than_the_threshold(values):
    table = np.array(values, float).reshape(-1, 5)
    table[:, 2:4] += table[:, :2]
    kept = suppress_contained(table[:, :4], table[:, 4], 0.5)
    rest = table[kept, :4]
    common = boxes.box_intersections(rest, rest)
    smaller = np.minimum.outer(boxes.box_areas(rest), boxes.box_areas(rest))
    assert (np.triu(common / np.maximum(smaller, 1e-9), 1) <= 0.5 + 1e-9).all()
    assert len(table) == 0 or table[:, 4].max() in table[kept, 4]


def test_squares_keep_the_centre_and_moves_are_in_units_of_the_box():
    rectangle = np.array([[0, 0, 10, 30]], float)
    assert boxes.squared_boxes(rectangle).tolist() == [[-10, 0, 20, 30]]
    assert boxes.moved_boxes(rectangle, np.array([[0.1, 0.1, -0.1, -0.1]])).tolist() == [[1, 3, 9, 27]]
    grown = boxes.moved_boxes(np.array([[0, 0, 9, 29]], float), np.array([[0.1, 0.1, -0.1, -0.1]]), pixel=1)
    assert grown.tolist() == [[1, 3, 8, 26]]


def test_tidy_faces_are_rounded_sorted_and_have_no_negative_zero():
    faces = sorted_faces(
        np.array([[5, 0, 9, 9], [-0.001, 0, 9, 9.0]]), np.zeros((2, 5, 2)), np.array([0.5, 0.5 + 1e-7])
    )
    assert faces.boxes[0].tolist() == [0, 0, 9, 9]
    assert not np.signbit(faces.boxes[0]).any()
    assert faces.scores.tolist() == [0.5, 0.5]


def test_drawing_marks_a_copy():
    image = np.zeros((100, 100, 3), np.uint8)
    marked = detection.draw_faces(image, Faces(np.array([[10, 10, 50, 50]]), np.full((1, 5, 2), 30.0), np.ones(1)))
    assert image.sum() == 0
    assert (marked[10, 10:50] == 255).all()
    assert tuple(marked[30, 30]) == (255, 0, 255)
