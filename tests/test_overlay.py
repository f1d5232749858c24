"""Curves of several sources in one figure: ours, with their bands, beside a devkit's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from facerec.cli import app
from facerec.core import FormatError, ParamsError
from facerec.reporting.overlay import overlay_curves

ROC = {"roc": [{"fpr": 1e-3, "tpr": 0.5, "lo": 0.4, "hi": 0.6}, {"fpr": 1, "tpr": 1, "lo": 1, "hi": 1}]}
CMC = {
    name: [{"rank": 1, "rate": rate, "lo": rate - 0.1, "hi": rate + 0.1}, {"rank": 9, "rate": 1, "lo": 1, "hi": 1}]
    for name, rate in (("raw", 0.4), ("cleaned", 0.6))
}
DEVKIT = {"cmc": [[0, 3, 99], [0.7, 0.9, 1.0]], "roc": [[0.0, 1e-4, 1.0], [0.2, 0.8, 1.0]]}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    for name, value in (("ours", ROC), ("ranks", CMC), ("devkit", DEVKIT), ("other", [1]), ("empty", {"a": 1})):
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    return {path.stem: path for path in tmp_path.iterdir()}


def legend(figure: object) -> list[str]:
    return [
        text.get_text()
        for axes in (*figure.legends, *(a.get_legend() for a in figure.axes))
        if axes
        for text in axes.get_texts()
    ]  # type: ignore[attr-defined]


def test_ours_and_a_devkit_s_share_a_roc(files) -> None:
    figure = overlay_curves({"ours": files["ours"], "published": files["devkit"]}, title="Both")
    assert legend(figure)[:2] == ["ours", "published"]
    assert figure.axes[0].get_title(loc="left") == "Both"
    line = next(line for line in figure.axes[0].lines if line.get_label() == "published")
    assert line.get_xydata().tolist() == [[1e-4, 0.8], [1.0, 1.0]]


def test_every_series_of_a_file_is_named(files) -> None:
    figure = overlay_curves({"ours": files["ranks"], "published": files["devkit"]}, "cmc")
    assert legend(figure) == [
        "ours: raw: 40.00 % at rank 1",
        "ours: cleaned: 60.00 % at rank 1",
        "published: 70.00 % at rank 1",
    ]


def test_what_holds_no_such_curve_is_refused(files, tmp_path: Path) -> None:
    for name, reason in (("other", "no JSON object"), ("empty", "holds no roc curve"), ("ranks", "holds no roc curve")):
        with pytest.raises(FormatError, match=reason):
            overlay_curves({"x": files[name]})
    with pytest.raises(FormatError, match="cannot read"):
        overlay_curves({"x": tmp_path / "missing.json"})
    with pytest.raises(ParamsError, match="roc or a cmc"):
        overlay_curves({"x": files["ours"]}, "det")


def test_the_command_writes_a_picture_and_refuses_nameless_files(files, tmp_path: Path) -> None:
    out = tmp_path / "both.png"
    runner = CliRunner()
    done = runner.invoke(app, ["figure", str(out), f"a={files['ours']}", f"b={files['devkit']}"])
    assert done.exit_code == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert "NAME=FILE" in str(runner.invoke(app, ["figure", str(out), str(files["ours"])]).exception)
    twice = runner.invoke(app, ["figure", str(out), f"a={files['ours']}", f"a={files['devkit']}"])
    assert "own name" in str(twice.exception)
