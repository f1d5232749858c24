"""Quality of faces: error-versus-reject curves equal a plain loop, and norms that say nothing are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from facerec import cli
from facerec.core import FormatError, ParamsError, write_json
from facerec.evaluation.verification import on_files, quality
from facerec.evaluation.verification.quality import RatedPairs, embedding_norms, error_versus_reject
from facerec.interop.attributes import read_qualities
from facerec.params import Quality
from facerec.reporting import figures, run_figures, summary
from facerec.store import embeddings, pairs
from facerec.store.embeddings import Embeddings
from tests import finished

PHOTOS = 120


def some_pairs(seed: int = 0, count: int = 600, ties: bool = False, useful: bool = True) -> RatedPairs:
    """Pairs of 120 photos; bad photos are far from everything if `useful`, and four have no quality."""
    rng = np.random.default_rng(seed)
    rated = rng.uniform(1, 3, PHOTOS)
    rated = rated.round(0 if ties else 9)
    first, second = (rng.integers(0, PHOTOS, count) for _ in range(2))
    same = np.arange(count) % 2 == 0
    lower = np.minimum(rated[first], rated[second])
    distances = np.where(same, rng.normal(1, 0.4, count) + useful * (2 - lower), rng.normal(2, 0.4, count))
    rated[[3, 50, 51, 80]] = np.nan
    first[:2] = -1  # a photo without a face
    return RatedPairs(rated, first, second, distances, same)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_curves_equal_a_plain_loop(seed: int, ties: bool) -> None:
    given = some_pairs(seed, ties=ties)
    found = error_versus_reject(given, 0.02)
    impostors = sorted(given.distances[~given.same])
    assert found.threshold == impostors[int(0.02 * len(impostors))]
    rated = [
        (a, b, d, s)
        for a, b, d, s in zip(given.first, given.second, given.distances, given.same, strict=True)
        if a >= 0 and b >= 0 and not np.isnan([given.quality[a], given.quality[b]]).any()
    ]
    assert found.unrated == len(given.same) - len(rated)
    photos = sorted({row[k] for row in rated for k in (0, 1)})
    worse = {row: min(given.quality[row[0]], given.quality[row[1]]) for row in rated}
    for unit, records in found.curves.items():
        assert records[0]["rejected"] == 0
        assert records[-1]["rejected"] == pytest.approx(0.5, abs=0.02) or ties
        for record in records:
            ranked = sorted(given.quality[photos]) if unit == "photos" else sorted(worse.values())
            cut = ranked[round(record["rejected"] * len(ranked))]  # the worst that is kept
            gone = {photo for photo in photos if given.quality[photo] < cut}
            if unit == "photos":
                assert len(gone) == pytest.approx(record["rejected"] * len(photos))
                left = [row for row in rated if row[0] not in gone and row[1] not in gone]
            else:
                left = [row for row in rated if worse[row] >= cut]
                assert len(rated) - len(left) == pytest.approx(record["rejected"] * len(rated))
            missed = [row[2] >= found.threshold for row in left if row[3]]
            assert record["fnmr"] == pytest.approx(np.mean(missed))
            assert record["genuine"] == len(missed)
            assert record["lo"] <= record["fnmr"] <= record["hi"]


def test_a_quality_that_knows_something_lowers_the_error_and_another_does_not() -> None:
    for useful in (True, False):
        records = error_versus_reject(some_pairs(count=6000, useful=useful), 0.02).curves["pairs"]
        change = records[-1]["fnmr"] / records[0]["fnmr"]
        assert (change < 0.5) == useful
        assert useful or change == pytest.approx(1, abs=0.2)


def test_all_qualities_alike_reject_nothing() -> None:
    given = some_pairs()
    even = RatedPairs(np.ones(PHOTOS), given.first, given.second, given.distances, given.same)
    assert {unit: len(records) for unit, records in error_versus_reject(even, 0.02).curves.items()} == {
        "photos": 1,
        "pairs": 1,
    }


def test_what_cannot_be_measured_is_explained() -> None:
    given = some_pairs()
    for far, message in ((1e-3, "1e-3 needs 1,000 impostor pairs, and there are 300"), (2.0, "between 0 and 1")):
        with pytest.raises(ParamsError, match=message):
            error_versus_reject(given, far)
    unknown = RatedPairs(np.full(PHOTOS, np.nan), given.first, given.second, given.distances, given.same)
    with pytest.raises(FormatError, match="no genuine pair has a quality"):
        error_versus_reject(unknown, 0.02)


def test_norms_are_lengths_unless_they_were_normalised() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32)
    rows[4] = np.nan
    norms = embedding_norms(rows)
    assert np.isnan(norms[4])
    assert norms[5] == pytest.approx(np.sqrt((rows[5].astype(float) ** 2).sum()))
    with pytest.raises(FormatError, match="all have one length"):
        embedding_norms(embeddings.normalise(rows))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """30 people, four photos each, the noisier the shorter; pairs; and a table of the same qualities."""
    rng = np.random.default_rng(2)
    people = np.repeat(np.arange(30), 4)
    noise = rng.uniform(0.1, 0.6, 120)
    rows = np.eye(30)[people] + noise[:, None] * rng.normal(size=(120, 30))
    length = 3 - 4 * noise
    rows *= (length / np.linalg.norm(rows, axis=1))[:, None]
    sources = [f"p{person}/{photo}.jpg" for photo, person in enumerate(people)]
    faces = Embeddings(rows.astype(np.float32), sources, [f"p{person}" for person in people])
    embeddings.write_embeddings(faces, tmp_path / "faces.npy")
    same = np.arange(480) % 2 == 0
    first = np.arange(480) % 120
    second = np.where(same, first // 4 * 4 + (first + 1) % 4, (first + 4 + np.arange(480) // 120) % 120)
    pairs.write_pairs(pairs.Pairs(first, second, same), tmp_path / "pairs.parquet")
    table = ["photo,sharpness", *(f"{source},{value:.9f}" for source, value in zip(sources, length, strict=True))]
    (tmp_path / "table.csv").write_text("\n".join(table))
    return tmp_path


def run(*arguments: object) -> dict:
    ran = CliRunner().invoke(cli.app, ["quality", *map(str, arguments), "--json"], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


def test_the_command_gives_curves_by_norm_and_by_a_column(files: Path) -> None:
    norm = run(files / "faces.npy", files / "pairs.parquet", "--far", 0.05, "--picture", files / "erc.svg")
    table = run(
        files / "faces.npy",
        files / "pairs.parquet",
        "--far",
        0.05,
        "--qualities",
        files / "table.csv",
        "--column",
        "sharpness",
    )
    assert norm["curves"].keys() == set(quality.UNITS)
    assert norm["curves"] == table["curves"]
    assert norm["worst"] == table["worst"]
    assert norm["fnmr_without_20%_of_photos"] < norm["fnmr"]
    picture = (files / "erc.svg").read_text()
    assert all(text in picture for text in ("photos rejected, FMR 5e-2", "pairs rejected", "False non-match rate"))
    assert "curves" not in run(files / "faces.npy")
    drawn = {unit: norm["curves"][unit] for unit in quality.UNITS}
    again = figures.render_figure(figures.reject_figure(drawn, 0.05))
    assert again == (files / "erc.svg").read_bytes()


def test_the_report_has_the_curves_where_the_parameters_ask(tmp_path: Path) -> None:
    run = finished.default()
    root = tmp_path / "run"
    name = "synth_lfw"
    finished.make(root, run)
    rated = on_files.rate_faces(root / f"{name}.npy", None, "")
    found = on_files.reject_worst_scored(rated, root / "scores" / name, 0.1)
    direct = on_files.reject_worst(rated, root / f"{name}.parquet.pairs.parquet", 0.1)
    assert found.curves == direct.curves
    write_json(root / f"metrics/quality/{name}.json", {name: {"by": rated.name, **found.metrics()}})
    write_json(root / f"curves/{name}_reject.json", {"reject": found.curves})
    asked = run.model_copy(update={"quality": {name: Quality()}})
    sources = summary.Sources(asked, root / "metrics", root / "curves", root / "scores")
    gathered = summary.collect_metrics(sources)
    assert summary.headline(gathered)[name]["fnmr"] == found.curves["pairs"][0]["fnmr"]
    (planned,) = [each for each in run_figures.plan_figures(sources, gathered) if each.name == f"{name}_reject"]
    assert "photos rejected" in figures.render_figure(planned.draw()).decode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("photo,q\np0/0.jpg,good\n", "'good' in the column quality is no number"),
        ("photo,q\np0/0.jpg,nan\n", "p0/0.jpg has 'nan'"),
        ("photo,q\np0/0.jpg,1\n0.jpg,2\n", "p0/0.jpg has '2' in the column quality, or two numbers"),
        ("name,q\np0/0.jpg,1\n", "needs a column photo and the column quality"),
    ],
)
def test_tables_without_qualities_are_explained(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text.replace(",q\n", ",quality\n"))
    with pytest.raises(FormatError, match=message):
        read_qualities(tmp_path / "t.csv", "quality", ["p0/0.jpg", "p1/1.jpg"])
