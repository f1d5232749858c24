"""The renderer: pixels, truth, and that people differ more than their photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facerec.imaging.sheets import contact_sheet
from synthfaces import hair, mesh, prepared, render, skin
from synthfaces.lighting import paint_pixels, shadow
from synthfaces.prepared import prepared_arrays
from synthfaces.raster import cast_rays, interpolate, rasterise, vertex_normals
from synthfaces.sampling import CaptureConfig, sample_identity, sample_shot, stream
from synthfaces.subject import OCCLUDERS, Identity, Shot
from synthfaces.surface import ball, f32, opaque, strand_texture, tube

SIZE = 96


@pytest.fixture(scope="module")
def person() -> Identity:
    return sample_identity("one", stream(1, "person"))


@pytest.fixture(scope="module")
def shot(person: Identity) -> Shot:
    drawn = sample_shot(person, stream(1, "shot"), CaptureConfig(occlusion=0), yaw=0)
    still = replace(drawn.camera, centre=(0.5, 0.5), face_width=0.45)
    return replace(drawn, pitch=0, roll=0, expression=(), occluder="", camera=still)


def _draw(points: list[list[float]], triangles: list[list[int]]) -> tuple[np.ndarray, ...]:
    mesh_triangles = np.array(triangles, np.int32)
    strands = strand_texture("straight")
    depth, index, weights = rasterise(f32(points), mesh_triangles, opaque(len(points)), strands, (8, 8))
    return depth, index, weights, mesh_triangles


def test_a_triangle_covers_the_pixels_inside_it() -> None:
    _, index, _, _ = _draw([[-0.5, -0.5, 1], [4.5, -0.5, 1], [-0.5, 4.5, 1]], [[0, 1, 2]])
    x, y = np.meshgrid(np.arange(8), np.arange(8))
    np.testing.assert_array_equal(index == 0, x + y <= 4)


def test_the_nearer_triangle_wins_whatever_the_order() -> None:
    points = [[0, 0, 2], [7, 0, 2], [0, 7, 2], [0, 0, 1], [7, 0, 1], [0, 7, 1]]
    for order in ([[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]]):
        depth, index, _, triangles = _draw(points, order)
        assert triangles[index[2, 2], 0] == 3
        assert depth[2, 2] == 1


def test_attributes_are_interpolated_in_perspective() -> None:
    """Half way across the screen between depths 1 and 3 lies a quarter of the way in space."""
    points = [[0, 0, 1], [6, 0, 3], [0, 6, 1], [6, 6, 3]]
    _, index, weights, triangles = _draw(points, [[0, 1, 2], [1, 3, 2]])
    values = interpolate(index, weights, triangles, f32([[0], [1], [0], [1]]), int((index >= 0).sum()))
    picture = np.full((8, 8), np.nan)
    picture[index >= 0] = values[:, 0]
    assert picture[3, 3] == pytest.approx(0.25, abs=1e-5)


def test_strands_thin_out_with_opacity() -> None:
    corners = f32([[-1, -1, 1], [1100, -1, 1], [-1, 1100, 1]])
    coverage = f32([[0.3, -1, -1], [0.3, 1100, -1], [0.3, -1, 1100]])
    triangles = np.array([[0, 1, 2]], np.int32)
    _, index, _ = rasterise(corners, triangles, coverage, strand_texture("straight"), (512, 512))
    assert (index == 0).mean() == pytest.approx(0.3, abs=0.03)


def test_normals_of_a_ball_point_outwards() -> None:
    points, triangles = ball((0, 0, 0), (1, 1, 1), 20)
    normals = vertex_normals(points, triangles)
    inner = np.abs(points[:, 1]) < 0.95
    alignment = np.abs((normals * points).sum(axis=1))
    assert alignment[inner].min() > 0.9


def test_rays_leave_a_ball_at_its_radius() -> None:
    points, triangles = ball((0, 0, 0), (2, 2, 2), 40)
    directions = f32([[0, 0.2, 1], [1, 0.1, 0], [-0.6, 0.5, 0.6]])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    hit, weights = cast_rays(f32([0, 0, 0]), directions, points, triangles)
    places = (points[triangles[hit]] * weights[..., None]).sum(axis=1)
    np.testing.assert_allclose(places, 2 * directions, atol=0.02)


def test_a_shadow_has_a_soft_edge() -> None:
    depth = np.full((20, 20), 10, np.float32)
    depth[:, :10] = 5
    places = f32([[2, 10, 10], [9, 10, 10], [17, 10, 10]])
    lit = shadow(depth, places, f32([1, 1, 1]), f32([0, 0, 0]), 0.1)
    np.testing.assert_allclose(lit, [0, 0.4, 1], atol=1e-6)


def test_tubes_are_closed_on_request() -> None:
    path = f32([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    assert len(tube(path, 0.1, 6, closed=True)[1]) - len(tube(path, 0.1, 6)[1]) == 12


def test_the_face_looks_where_its_truth_says(person: Identity, shot: Shot) -> None:
    taken = render.render_photo(person, shot, SIZE)
    left, right, nose, mouth_left, mouth_right = taken.landmarks
    assert left[0] < nose[0] < right[0]
    assert mouth_left[0] < nose[0] < mouth_right[0]
    assert left[1] < nose[1] < mouth_left[1]
    x1, y1, x2, y2 = taken.box
    assert np.all((taken.landmarks > [x1, y1]) & (taken.landmarks < [x2, y2]))
    assert (x2 - x1) / SIZE == pytest.approx(shot.camera.face_width, abs=0.08)
    assert taken.image.shape == (SIZE, SIZE, 3)
    assert taken.image.dtype == np.uint8


def test_truth_is_where_the_pupils_are(person: Identity, shot: Shot) -> None:
    """The darkest place near each eye landmark is the pupil, within 2 % of the face's width."""
    dark = replace(person, iris=(0.01, 0.01, 0.01))
    wide = replace(shot, expression=(("eyeWideLeft", 0.8), ("eyeWideRight", 0.8)), gaze=(0.0, 0.0))
    sharp = replace(wide, camera=replace(shot.camera, blur=0.001, noise=0))
    taken = render.render_photo(dark, sharp, 400)
    for x, y in taken.landmarks[:2].round().astype(int):
        patch = taken.image[y - 6 : y + 7, x - 12 : x + 13].sum(axis=2).astype(float)
        rows, columns = np.nonzero(patch <= np.percentile(patch, 8))
        assert abs(columns.mean() - 12) < 400 * 0.45 * 0.03
        assert abs(rows.mean() - 6) < 400 * 0.45 * 0.03


@pytest.mark.parametrize(("change", "axis", "sign"), [({"yaw": 30.0}, 0, 1), ({"pitch": 15.0}, 1, -1)])
def test_turning_moves_the_nose(person: Identity, shot: Shot, change: dict[str, float], axis: int, sign: int) -> None:
    def nose(taken: render.RenderedPhoto) -> float:
        return float(taken.landmarks[2, axis] - taken.landmarks[:2, axis].mean())

    straight, turned = (
        render.render_photo(person, shot, SIZE),
        render.render_photo(person, replace(shot, **change), SIZE),
    )
    assert sign * (nose(turned) - nose(straight)) > 1.5


def test_rolling_tilts_the_eyes_clockwise(person: Identity, shot: Shot) -> None:
    tilted = render.render_photo(person, replace(shot, roll=20.0), SIZE).landmarks
    slope = np.degrees(np.arctan2(*(tilted[1] - tilted[0])[::-1]))
    level = render.render_photo(person, shot, SIZE).landmarks
    assert slope - np.degrees(np.arctan2(*(level[1] - level[0])[::-1])) == pytest.approx(20, abs=3)


def test_the_same_shot_gives_the_same_pixels(person: Identity, shot: Shot) -> None:
    first = render.render_photo(person, shot, SIZE).image
    render.render_photo(replace(person, male=1 - person.male), shot, SIZE)
    np.testing.assert_array_equal(render.render_photo(person, shot, SIZE).image, first)


@pytest.mark.parametrize("occluder", OCCLUDERS)
def test_occluders_change_the_picture_but_not_the_truth(person: Identity, shot: Shot, occluder: str) -> None:
    bare, covered = (
        render.render_photo(person, shot, SIZE),
        render.render_photo(person, replace(shot, occluder=occluder), SIZE),
    )
    changed = np.abs(bare.image.astype(int) - covered.image).max(axis=2) > 25
    assert 0.003 < changed.mean() < 0.5
    np.testing.assert_array_equal(bare.landmarks, covered.landmarks)


@pytest.mark.parametrize("style", [*hair.STYLES, "buzz", "bald"])
def test_no_style_covers_the_face(person: Identity, shot: Shot, style: str) -> None:
    """Between eyes and mouth there is skin, as on a bald head."""
    bald = replace(person.hair, style="bald", beard="")
    worn = replace(bald, style=style)
    bare = render.render_photo(replace(person, hair=bald), shot, SIZE)
    taken = render.render_photo(replace(person, hair=worn), shot, SIZE)
    left, right = taken.landmarks[0], taken.landmarks[1]
    rows = slice(int(left[1]), int(taken.landmarks[3, 1]))
    columns = slice(int(left[0]), int(right[0]))
    difference = np.abs(taken.image[rows, columns].astype(int) - bare.image[rows, columns])
    assert np.median(difference) < 12


def test_age_paints_folds_and_moves_the_face(person: Identity) -> None:
    young, old = skin.paint_skin(person, 25.0, 0.0), skin.paint_skin(person, 80.0, 0.0)
    assert np.abs(young - old).max() > 0.02
    moved = np.abs(render.neutral_points(person, 25.0) - render.neutral_points(person, 80.0))
    assert 0.02 < moved[mesh.load_head().face].max() < 0.5


def test_shapes_stay_human() -> None:
    """Distances between eyes, and eyes and mouth, stay within what people have (dm on the model)."""
    model = mesh.load_head()
    for index in range(40):
        points = render.neutral_points(sample_identity("x", stream(7, index)), 40.0)
        eyes = [points[ids].mean(axis=0) for ids in model.eyes]
        corners = points[list(model.mouth)]
        assert 0.45 < np.linalg.norm(eyes[1] - eyes[0]) < 0.8
        assert 0.3 < np.linalg.norm(corners[1] - corners[0]) < 0.85
        assert 0.45 < -corners[:, 1].mean() < 1.0


def test_people_differ_more_than_their_years() -> None:
    """Face shape carries identity: two people are further apart than one person ten years on."""
    face = mesh.load_head().face
    points = [render.neutral_points(sample_identity("x", stream(8, k)), 30.0)[face] for k in range(6)]
    older = render.neutral_points(sample_identity("x", stream(8, 0)), 40.0)[face]
    others = [float(np.abs(points[0] - other).mean()) for other in points[1:]]
    assert min(others) > 1.5 * float(np.abs(points[0] - older).mean())


def test_the_chart_follows_the_neutral_face() -> None:
    model = mesh.load_head()
    chart = skin.face_chart()
    painted = np.stack([chart.x, chart.y, chart.z], axis=2)
    front = (model.neutral[:, 2] > 0) & (np.abs(model.neutral[:, 1]) < 0.4) & (model.masks.max(axis=1) == 0)
    skin_vertices = np.intersect1d(np.flatnonzero(front), model.face)
    places, masks = model.neutral[skin_vertices], model.masks[skin_vertices]
    material = np.zeros(len(places), np.int32)
    material[::2] = 5
    read, gloss = np.full_like(places, 9), np.zeros(len(places), np.float32)
    kind = paint_pixels(painted, places, masks, material, 0, skin.CHART, read, gloss)
    assert np.median(np.abs(read - places)[1::2], axis=0).max() < 0.02
    assert (read[::2] == 9).all()
    assert (gloss[1::2] > gloss[::2].max()).all()
    assert not kind.any()  # neither lips nor lids, nor as low as clothes


def test_strand_textures_are_uniform() -> None:
    for kind in ("straight", "wavy", "curly"):
        values = strand_texture(kind)
        assert np.quantile(values, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.01)


def test_a_contact_sheet_tiles_row_by_row() -> None:
    tiles = [np.full((4, 6, 3), tone, np.uint8) for tone in (10, 20, 30)]
    sheet = contact_sheet(tiles, 2, gap=1)
    assert sheet.shape == (9, 13, 3)
    assert sheet[0, 0, 0] == 10
    assert sheet[0, 7, 0] == 20
    assert sheet[5, 0, 0] == 30
    assert sheet[5, 7, 0] == 255
    with pytest.raises(ValueError, match="all of one size"):
        contact_sheet([tiles[0], tiles[1][:2]], 2)
    marked = contact_sheet(tiles, 3, landmarks=[f32([[2, 2]])] * 3, labels=["a", "b", "c"])
    assert marked.shape == (4, 22, 3)
    assert marked[2, 2, 1] != 10


def test_kept_arrays_are_those_that_are_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACEREC_SCRATCH", str(tmp_path))
    made = mesh.load_head.__wrapped__()
    assert [path.name for path in tmp_path.rglob("*.npz")] == ["head.npz"]
    monkeypatch.setattr(mesh, "_read_head", None)  # the second time, no file of the model is read
    kept = mesh.load_head.__wrapped__()
    for name in ("neutral", "triangles", "material", "masks", "starts", "places", "offsets", "face"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(made, name))
        assert getattr(kept, name).dtype == getattr(made, name).dtype
    assert kept.targets == made.targets


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-100], lambda data: data[:300] + b"\1" + data[301:], lambda data: b""]
)
def test_damaged_arrays_are_made_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setenv("FACEREC_SCRATCH", str(tmp_path))
    values = np.arange(500.0)
    prepared_arrays("squares", lambda: {"values": values**2})
    (file,) = tmp_path.rglob("*.npz")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    np.testing.assert_array_equal(prepared_arrays("squares", lambda: {"values": values**2})["values"], values**2)
    np.testing.assert_array_equal(prepared_arrays("squares", dict)["values"], values**2)  # written anew


def test_nothing_is_kept_where_arithmetic_is_not_portable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACEREC_SCRATCH", str(tmp_path))
    monkeypatch.setattr(prepared, "describe_arithmetic", lambda: "x86-64 with portable arithmetic turned off")
    prepared._key.cache_clear()
    try:
        assert len(prepared_arrays("numbers", lambda: {"values": np.arange(3)})["values"]) == 3
    finally:
        prepared._key.cache_clear()
    assert not list(tmp_path.iterdir())


def test_a_scratch_folder_that_cannot_be_written_does_no_harm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FACEREC_SCRATCH", str(tmp_path / "file"))
    assert len(prepared_arrays("numbers", lambda: {"values": np.arange(3)})["values"]) == 3
