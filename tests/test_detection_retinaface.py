"""RetinaFace: priors, decoding and suppression with a planted network; real photos where there are weights."""

import tarfile
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facerec import detection
from facerec.core import FormatError, ParamsError
from facerec.detection import retinaface
from facerec.detection.retinaface import load_retinaface_weights, retinaface_mobilenet, retinaface_resnet50
from facerec.imaging import alignment, images


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of untrained weights, made repeatable."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(retinaface_mobilenet().state_dict(), path)
    return path


def load(path):
    return load_retinaface_weights(path, retinaface_mobilenet())


def test_the_network_has_the_published_tensors_and_sizes(weights):
    state = torch.load(weights, weights_only=True)
    assert len(state) == 300
    assert (
        sum(value.numel() for name, value in state.items() if "running" not in name and "num_" not in name) == 426_608
    )
    assert state["ssh1.conv7x7_3.0.weight"].shape == (16, 16, 3, 3)
    boxes, scores, landmarks = load(weights)(torch.zeros(2, 3, 100, 130))
    count = len(retinaface.priors(100, 130))
    assert (boxes.shape, scores.shape, landmarks.shape) == ((2, count, 4), (2, count), (2, count, 10))


def test_every_activation_but_the_last_of_a_context_is_leaky(weights):
    network = load(weights)
    slopes = [m.negative_slope for m in network.modules() if isinstance(m, torch.nn.LeakyReLU)]
    assert len(slopes) == 27 + 5 + 6
    assert set(slopes) == {0.1}
    assert not any(isinstance(m, torch.nn.ReLU) for m in network.modules())


def test_resnet50_has_the_published_tensors_and_parameters():
    network = retinaface_resnet50()
    state = network.state_dict()
    assert state["body.conv1.weight"].shape == (64, 3, 7, 7)
    assert state["body.layer4.2.bn3.running_var"].shape == (2048,)
    assert state["fpn.output3.0.weight"].shape == (256, 2048, 1, 1)
    assert state["ssh2.conv7X7_2.0.weight"].shape == (64, 64, 3, 3)
    assert state["LandmarkHead.2.conv1x1.weight"].shape == (20, 256, 1, 1)
    assert not any(name.startswith("body.fc") for name in state)
    # The Open Model Zoo gives 27.2646 million for it, with each normalisation merged into its convolution.
    merged = sum(m.num_features for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert sum(value.numel() for value in network.parameters()) - merged == 27_264_608
    assert not any(isinstance(m, torch.nn.LeakyReLU) for m in network.modules())


def test_resnet50_weights_give_the_outputs_of_the_network_they_were_saved_from(tmp_path):
    torch.manual_seed(2)
    network = retinaface_resnet50().eval()
    torch.save({f"module.{name}": value for name, value in network.state_dict().items()}, tmp_path / "w.pth")
    detector = detection.build_detector("retinaface-r50", weights=tmp_path / "w.pth", device="cpu", threshold=1e-3)
    x = torch.randn(1, 3, 70, 50)
    with torch.inference_mode():
        for ours, theirs in zip(detector._network(x), network(x), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert len(detector.detect([np.zeros((70, 50, 3), np.uint8)])[0]) > 0
    with pytest.raises(FormatError, match="does not hold RetinaFace"):
        detection.build_detector("retinaface-mnet0.25", weights=tmp_path / "w.pth")


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), min_size=1, max_size=5))
def test_a_batch_gives_the_faces_of_photos_one_by_one(untrained, sizes):
    rng = np.random.default_rng(len(sizes))
    photos = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    for photo, batched in zip(photos, untrained.detect(photos), strict=True):
        (alone,) = untrained.detect([photo])
        np.testing.assert_array_equal(alone.boxes, batched.boxes)
        np.testing.assert_array_equal(alone.landmarks, batched.landmarks)
        np.testing.assert_array_equal(alone.scores, batched.scores)


@pytest.fixture(scope="module")
def untrained(weights):
    return detection.build_detector("retinaface-mnet0.25", weights=weights, device="cpu", threshold=0.3)


def test_untrained_weights_find_something_to_compare(untrained):
    assert len(untrained.detect([np.full((64, 64, 3), 90, np.uint8)])[0]) > 0


def test_a_photo_longer_than_max_side_is_reduced_and_its_faces_brought_back(weights):
    still = [0.0] * 4, [1.0, 0, -1, 0, 0, 2, 0, 0, 0.5, 0.5]
    prior = 2 * (2 * 8 + 3) + 1  # centre (28, 20), side 32, of a photo of 64 x 64
    small = planted(weights, [(prior, 0.95, *still)])
    large = planted(weights, [(prior, 0.95, *still)], shape=(192, 128), max_side=64, seen=(64, 43))
    edges = (small.boxes.reshape(2, 2) + 0.5) * (128 / 43, 3) - 0.5
    assert large.scores.tolist() == small.scores.tolist()
    # The map of a narrower photo has 6 columns, so the same prior lies elsewhere: row 3, column 1.
    moved = np.array([(12 - 28) * 128 / 43, (28 - 20) * 3])
    np.testing.assert_allclose(large.boxes.reshape(2, 2), edges + moved, atol=0.02)


def test_a_long_thin_photo_keeps_a_pixel_of_its_short_side(untrained):
    thin = np.zeros((1, 5000, 3), np.uint8)
    assert untrained._reduced(thin).shape == (1, 2048, 3)
    untrained.detect([thin, np.zeros((1, 1, 3), np.uint8)])


def test_weights_saved_from_several_gpus_load_too(weights, tmp_path):
    state = torch.load(weights, weights_only=True)
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "w.pth")
    x = torch.rand(1, 3, 64, 64)
    ours, other = load(weights), load(tmp_path / "w.pth")
    assert torch.equal(ours(x)[1], other(x)[1])


def test_other_weights_are_refused(weights, tmp_path):
    state = torch.load(weights, weights_only=True)
    state.pop("fpn.merge1.0.weight")
    torch.save(state, tmp_path / "w.pth")
    (tmp_path / "text.pth").write_text("no weights")
    for name, reason in (("w.pth", "not hold"), ("text.pth", "not hold"), ("missing.pth", "not exist")):
        with pytest.raises(FormatError, match=f"does {reason}"):
            detection.build_detector("retinaface-mnet0.25", weights=tmp_path / name)


def test_impossible_options_are_refused(weights):
    with pytest.raises(ParamsError, match="between 0 and 1"):
        detection.build_detector("retinaface-mnet0.25", weights=weights, threshold=1.5)
    with pytest.raises(ParamsError, match="weights"):
        detection.build_detector("retinaface-mnet0.25")


def test_onnxruntime_finds_the_same_faces_in_photos_of_any_size(untrained, weights):
    fast = detection.build_detector("retinaface-mnet0.25", weights=weights, threshold=0.3, engine="onnxruntime")
    rng = np.random.default_rng(1)
    photos = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((64, 64), (33, 90), (121, 70))]
    for photo in photos:
        for ours, other in zip(
            untrained._network(untrained._tensor([photo])), fast._network(fast._tensor([photo])), strict=True
        ):
            assert ours.shape == other.shape
            np.testing.assert_allclose(ours, other, atol=1e-4)
    assert [len(faces) for faces in fast.detect(photos)] == [len(faces) for faces in untrained.detect(photos)]
    with pytest.raises(
        ParamsError, match=r"retinaface-mnet0\.25 has no engine 'tensorrt'; choose torch or onnxruntime"
    ):
        detection.build_detector("retinaface-mnet0.25", weights=weights, engine="tensorrt")


def test_priors_have_ceil_sized_maps_and_two_sides_a_place():
    places = retinaface.priors(100, 130)
    maps = [(13, 17), (7, 9), (4, 5)]
    assert len(places) == 2 * sum(rows * columns for rows, columns in maps)
    assert places[:3].tolist() == [[4, 4, 16], [4, 4, 32], [12, 4, 16]]
    assert places[2 * 17].tolist() == [4, 12, 16]
    assert places[2 * 13 * 17].tolist() == [8, 8, 64]
    assert places[-1].tolist() == [4.5 * 32, 3.5 * 32, 512]
    assert retinaface.priors(100, 130) is places


class Planted(torch.nn.Module):
    """Stands for the network: says there are faces at the priors given, with the corrections given."""

    def __init__(self, size, faces):
        super().__init__()
        self.size, self.faces = size, faces

    def forward(self, x):
        count = len(retinaface.priors(*self.size))
        boxes, scores, landmarks = torch.zeros(1, count, 4), torch.zeros(1, count), torch.zeros(1, count, 10)
        for prior, score, box, points in self.faces:
            scores[0, prior] = score
            boxes[0, prior] = torch.tensor(box)
            landmarks[0, prior] = torch.tensor(points)
        return boxes, scores, landmarks


def planted(weights, faces, shape=(64, 64), seen=(64, 64), **options):
    detector = detection.build_detector("retinaface-mnet0.25", weights=weights, device="cpu", **options)
    detector._network = Planted(seen, faces)
    return detector.detect([np.zeros((*shape, 3), np.uint8)])[0]


def test_corrections_are_decoded_with_the_variances(weights):
    points = [1.0, 0, -1, 0, 0, 2, 0, 0, 0.5, 0.5]
    prior = 2 * (2 * 8 + 3) + 1  # row 2, column 3 of the 8x8 map, side 32: centre (28, 20)
    found = planted(weights, [(prior, 0.95, [0.5, -0.5, 5 * np.log(2.0), 0.0], points)])
    np.testing.assert_allclose(found.boxes, [[29.6 - 32, 18.4 - 16, 29.6 + 32, 18.4 + 16]], atol=0.01)
    expected = [[31.2, 20], [24.8, 20], [28, 26.4], [28, 20], [29.6, 21.6]]
    np.testing.assert_allclose(found.landmarks[0], expected, atol=0.01)
    assert found.scores == pytest.approx(0.95)


def test_threshold_and_suppression(weights):
    still = [0.0] * 4, [0.0] * 10
    faces = [(1, 0.95, *still), (3, 0.97, *still), (100, 0.96, *still), (60, 0.5, *still)]
    found = planted(weights, faces)
    assert found.scores.tolist() == pytest.approx([0.97, 0.96])  # 1 overlaps 3 by IoU .6, 60 is unlikely
    assert len(planted(weights, faces, overlap=0.7)) == 3
    assert len(planted(weights, faces, threshold=0.4)) == 3


def test_overlap_counts_one_pixel_more(weights):
    # sides 16 at distance 8: IoU is 128/384 = .333 plain, (9*17)/(2*289-153) = .36 with one pixel more
    faces = [(0, 0.95, [0.0] * 4, [0.0] * 10), (2, 0.97, [0.0] * 4, [0.0] * 10)]
    assert len(planted(weights, faces, overlap=0.34)) == 1
    assert len(planted(weights, faces, overlap=0.37)) == 2


def test_no_photos_no_faces(weights):
    assert detection.build_detector("retinaface-mnet0.25", weights=weights, device="cpu").detect([]) == []


@pytest.fixture(scope="module")
def real(mirror):
    detector = detection.build_detector(
        "retinaface-mnet0.25", weights=mirror / "weights" / "retinaface_mobilenet0.25.pth", device="cpu"
    )
    with tarfile.open(mirror / "lfw-deepfunneled.tgz") as archive:
        members = (member for member in archive if member.name.endswith(".jpg"))
        photos = [images.decode(archive.extractfile(member).read()) for member in islice(members, 100)]
    return detector, photos, detector.detect(photos)


def test_every_photo_of_lfw_has_a_face(real):
    _, photos, found = real
    chosen = [detection.choose_face(faces, photo.shape[:2]) for photo, faces in zip(photos, found, strict=True)]
    assert None not in chosen
    landmarks = np.array([faces.landmarks[face] for faces, face in zip(found, chosen, strict=True)])
    assert np.median(alignment.residuals(landmarks)) < 3.5
    assert 8 <= sum(len(faces) > 1 for faces in found) <= 30  # 18 % of all photos


def test_batch_equals_photos_one_by_one(real):
    detector, photos, found = real
    mixed = [photos[0][:200], photos[1], photos[2][:200], photos[3]]
    for image, batched in zip(mixed, detector.detect(mixed), strict=True):
        (alone,) = detector.detect([image])
        np.testing.assert_array_equal(alone.landmarks, batched.landmarks)
        np.testing.assert_array_equal(alone.boxes, batched.boxes)
    np.testing.assert_array_equal(found[1].boxes, detector.detect([photos[1]])[0].boxes)


def test_onnxruntime_moves_no_landmark_of_lfw_by_a_tenth_of_a_pixel(real, mirror):
    _, photos, found = real
    weights = mirror / "weights" / "retinaface_mobilenet0.25.pth"
    fast = detection.build_detector("retinaface-mnet0.25", weights=weights, engine="onnxruntime")
    for ours, other in zip(found[:30], fast.detect(photos[:30]), strict=True):
        np.testing.assert_allclose(ours.boxes, other.boxes, atol=0.1)
        np.testing.assert_allclose(ours.landmarks, other.landmarks, atol=0.1)


def test_both_detectors_agree_on_lfw(real):
    _, photos, found = real
    others = detection.build_detector("mtcnn", min_face=40, device="cpu").detect(photos[:40])
    ours, theirs = (
        np.array([faces.landmarks[detection.choose_face(faces, (250, 250))] for faces in every])
        for every in (found[:40], others)
    )
    assert np.median(np.linalg.norm(ours - theirs, axis=2)) < 3
