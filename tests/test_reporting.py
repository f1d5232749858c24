"""Reporting: curves keep what matters, figures are the same bytes twice, templates are accepted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerec.core import FormatError, write_json
from facerec.evaluation import curves
from facerec.reporting import figures, summary

ROOT = Path(__file__).parents[1]


def a_roc(n: int = 5000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    fpr = np.arange(n + 1) / n
    return fpr, np.sort(np.random.default_rng(seed).beta(8, 1, n + 1))


def all_figures() -> dict[str, figures.Figure]:
    roc = curves.roc_records(*a_roc(), positives=500)
    cmc = curves.cmc_records(np.arange(1, 1001), np.linspace(0.6, 1, 1000), pairs=300)
    scores = np.random.default_rng(0).normal(size=400)
    histogram = curves.histogram_records(scores, scores > 0.3)
    looks = [{"step": 10 * k, "accuracy": {"lfw": 0.9 + k / 100, "cfp_fp": 0.8}} for k in (1, 2, 3)]
    log = [{"step": k, "loss": 1 / (k + 1), "lr": 0.1} for k in range(50)]
    return {
        "roc": figures.verification_roc({"lfw": roc, "cfp_fp": roc}, {"lfw": (0.99, 0.003)}),
        "det": figures.det_figure({"lfw": roc, "cfp_fp": roc}, {"lfw": 0.0123}),
        "identification": figures.identification_roc({"raw": roc, "cleaned": roc}),
        "cmc": figures.cmc_figure({"raw": cmc, "cleaned": cmc}),
        "histogram": figures.score_histogram(histogram, threshold=0.3),
        "training": figures.training_figure([*log, {"step": 50, "accuracy": 0.9}]),
        "validation": figures.validation_figure(looks, 20),
    }


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 3000), st.integers(0, 100))
def test_thinned_roc_keeps_ends_and_real_points(n, seed):
    fpr, tpr = a_roc(n, seed)
    records = curves.roc_records(fpr, tpr, positives=100)
    assert len(records) <= curves.POINTS
    assert (records[0]["fpr"], records[-1]["fpr"]) == (0, 1)
    assert records[1]["fpr"] == fpr[1]
    assert all(tpr[round(r["fpr"] * n)] == r["tpr"] for r in records)
    assert all(0 <= r["lo"] <= r["tpr"] <= r["hi"] <= 1 for r in records)
    assert [r["fpr"] for r in records] == sorted({r["fpr"] for r in records})


def test_thinning_spreads_points_over_decades():
    records = curves.roc_records(*a_roc(100_000), positives=100)
    decades = np.floor(np.log10([r["fpr"] for r in records[1:]]))
    assert all((decades == decade).sum() > 15 for decade in (-4, -3, -2, -1))


def test_a_vertical_step_keeps_its_top():
    records = curves.roc_records([0, 0, 0.5, 0.5, 1], [0, 0.4, 0.4, 0.8, 1], positives=10)
    assert [(r["fpr"], r["tpr"]) for r in records] == [(0, 0.4), (0.5, 0.8), (1, 1)]


def test_cmc_and_histogram_records():
    records = curves.cmc_records(np.arange(1, 5001), np.linspace(0.5, 1, 5000), pairs=40)
    assert (records[0]["rank"], records[0]["rate"], records[-1]["rank"]) == (1, 0.5, 5000)
    assert len(records) <= curves.POINTS
    bins = curves.histogram_records([0, 0.1, 0.9, 1], [True, True, False, False], bins=2)
    assert [(b["same"], b["different"]) for b in bins] == [(2, 0), (0, 2)]
    assert json.loads(json.dumps({"cmc": records}))["cmc"] == records


@pytest.fixture(scope="module")
def drawn() -> dict[str, bytes]:
    return {name: figures.render_figure(figure) for name, figure in all_figures().items()}


def test_figures_are_the_same_bytes_twice_and_of_their_kind(drawn):
    again = all_figures()
    for name, svg in drawn.items():
        assert svg == figures.render_figure(again[name])
        assert b"</svg>" in svg
        assert not re.search(rb"<dc:date>|\d{4}-\d\d-\d\dT", svg)
    png = figures.render_figure(again["cmc"], "png")
    assert png == figures.render_figure(all_figures()["cmc"], "png")
    assert png.startswith(b"\x89PNG")
    assert b"matplotlib.org" not in png


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("roc", ["lfw: 99.00 ± 0.30 % accuracy", "cfp_fp", "False-accept rate (log scale)"]),
        ("det", ["lfw: 1.23 % equal error rate", "cfp_fp", "equal errors", "False-reject rate", "0.1%"]),
        ("identification", ["raw", "cleaned", "False-positive rate (log scale)"]),
        ("cmc", ["raw: 60.00 % at rank 1", "Rank k (log scale)"]),
        ("histogram", ["threshold 0.3", "same person", "different person"]),
        ("training", ["Loss", "Accuracy", "Learning rate", "Step"]),
        ("validation", ["lfw", "cfp_fp", "best mean, step 20", "Accuracy"]),
    ],
)
def test_figures_say_what_they_show(drawn, name, words):
    assert all(word in drawn[name].decode() for word in words)


def test_roc_axis_goes_as_low_as_the_pairs_do():
    def lowest(n: int) -> float:
        return figures.verification_roc({"x": curves.roc_records(*a_roc(n), 10)}).axes[0].get_xlim()[0]

    assert (lowest(300), lowest(3000), lowest(100)) == pytest.approx((1e-3, 1e-4, 1e-2))


def test_a_det_of_normal_scores_is_a_straight_line_through_its_equal_error_rate():
    """Scores of two unit normal distributions, d apart: miss = Phi(d / 2 - t), false accept = Phi(-d / 2 - t)."""
    cumulative = np.vectorize(NormalDist().cdf)
    thresholds = np.linspace(4, -4, 4001)
    records = curves.roc_records(cumulative(-1 - thresholds), cumulative(1 - thresholds), 500)
    axes = figures.det_figure({"x": records}).axes[0]
    x, y = axes.lines[0].get_data()
    inside = (np.abs(x) < 3) & (np.abs(y) < 3)
    assert inside.sum() > 50
    np.testing.assert_allclose(x[inside] + y[inside], -2, atol=0.02)  # slope -1, at d below the origin
    ticks = {label.get_text(): tick for label, tick in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)}
    assert ticks["20%"] == pytest.approx(NormalDist().inv_cdf(0.2))


def test_a_det_is_not_clipped_where_most_are_rejected():
    records = curves.roc_records([0, 0.01, 0.1, 1], [0, 0.15, 0.4, 1], 100)
    axes = figures.det_figure({"x": records}).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "90%"
    assert axes.get_ylim()[1] > NormalDist().inv_cdf(0.85)
    assert axes.get_xlim()[1] == pytest.approx(NormalDist().inv_cdf(0.6))


def test_a_det_bears_a_benchmark_without_errors():
    perfect = curves.roc_records([0, 0, 1], [0, 1, 1], 10)
    assert b"</svg>" in figures.render_figure(figures.det_figure({"x": perfect}, {"x": 0.0}))


def test_drawing_leaves_no_style_behind():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    all_figures()
    assert dict(mpl.rcParams) == before
    code = "import facerec.reporting.figures, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_save_writes_what_the_suffix_says(tmp_path):
    figures.save_figure(all_figures()["cmc"], tmp_path / "a" / "cmc.svg", tmp_path / "cmc.png")
    assert (tmp_path / "a" / "cmc.svg").read_bytes().startswith(b"<?xml")
    assert (tmp_path / "cmc.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(FormatError, match=r"cmc\.jpg"):
        figures.save_figure(all_figures()["cmc"], tmp_path / "cmc.jpg")


def test_nothing_to_draw_is_explained():
    with pytest.raises(FormatError, match="none of loss"):
        figures.training_figure([{"step": 1}])


def a_summary() -> dict:
    lfw = {
        "accuracy": 0.9943,
        "accuracy_std": 0.0033,
        "tar_pairs_needed": 1000,
        "tar_supported": False,
        "far_target": 1e-3,
        "auc": 0.9991,
        "eer": 0.006,
        "pairs": 6000,
        "failures": 3,
    }
    run = {"rank1": 0.9, "tpr@1e-4": 0.8, "pairs": 10, "probes": 5, "distractors": 1000}
    return summary.gather_summary(
        verification={"lfw<b>": lfw},
        identification={"cleaned": run, "raw": run},
        detection={"people": {"photos": 1200, "rungs": {"detector": 1190}}},
        training={"steps": 2000, "final_loss": 1.23456, "name": "a&b"},
        export={},
    )


def test_summary_is_nested_in_its_order_and_scalar():
    gathered = a_summary()
    assert list(gathered) == ["verification", "identification", "detection", "training"]
    assert gathered["verification"]["lfw<b>"]["accuracy"] == 0.9943
    assert summary.gather_summary(a={"x": None, "y": 1}) == {"a": {"y": 1}}
    for bad in ([1], float("nan"), np.float32(1), float("inf")):
        with pytest.raises(FormatError, match=r"Metric a\.b\.c"):
            summary.gather_summary(a={"b": {"c": bad}})


def _write_plots(folder: Path, shift: float) -> None:
    fpr, tpr = a_roc()
    for name in ("a", "b"):
        records = curves.roc_records(fpr, np.maximum(tpr - shift, 0), 500)
        write_json(folder / name / "roc.json", {"roc": records})
    cmc = curves.cmc_records(np.arange(1, 301), np.linspace(0.5 - shift, 1, 300), 60)
    write_json(folder / "cmc.json", {"cmc": cmc})
    write_json(folder / "training.json", {"training": [{"step": k, "loss": 9 - k + shift} for k in range(9)]})


@pytest.mark.pipeline
def test_dvc_accepts_the_templates(tmp_path):
    def call(*command: str) -> str:
        run = subprocess.run([*command], cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return run.stdout

    dvc = [sys.executable, "-m", "dvc"]
    call("git", "init", "-q")
    call(*dvc, "init", "-q")
    call(*dvc, "config", "core.analytics", "false")
    (tmp_path / ".dvc" / "plots").mkdir()
    for template in (ROOT / ".dvc" / "plots").glob("*.json"):
        (tmp_path / ".dvc" / "plots" / template.name).write_bytes(template.read_bytes())
    (tmp_path / "dvc.yaml").write_text(
        "plots:\n"
        "  - ROC: {template: roc, x: fpr, y: {a/roc.json: tpr, b/roc.json: tpr}}\n"
        "  - cmc.json: {template: cmc, x: rank, y: rate}\n"
        "  - training.json: {template: training, x: step, y: loss}\n"
    )
    _write_plots(tmp_path, 0)
    call("git", "add", "-A")
    call("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "one")
    _write_plots(tmp_path, 0.1)
    call(*dvc, "plots", "diff", "HEAD", "-o", "out")
    html = (tmp_path / "out" / "index.html").read_text()
    specs = [json.loads(text) for text in re.findall(r"var spec = (\{.*\});", html)]
    assert len(specs) == 3
    assert "<DVC_" not in html
    roc, cmc, training = specs
    assert roc["encoding"]["x"]["scale"]["type"] == cmc["encoding"]["x"]["scale"]["type"] == "log"
    assert roc["encoding"]["color"]["scale"]["domain"] == ["workspace", "HEAD"]
    assert roc["layer"][0]["encoding"]["y2"] == {"field": "hi"}
    assert roc["transform"][1]["calculate"] == "datum.rev + '::' + datum.filename"
    assert "type" not in training["encoding"]["x"]["scale"]  # epochs and steps are not logarithmic
