"""Open-set evaluation on files: the command, the stage's record, and what the report and the summary show of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from facerec.cli import app
from facerec.core import FormatError, ParamsError
from facerec.evaluation.open_set.on_files import OpenSetOptions, measure_files
from facerec.params import parse_params
from facerec.reporting import run_figures, summary, tables
from facerec.store.embeddings import Embeddings, write_embeddings
from stages import openset
from tests import finished
from tests.conftest import ROOT
from tests.test_open_set import small_lists, world


def parameters() -> dict[str, Any]:
    """Those of the default experiment, as they stand in the file."""
    return dict(yaml.safe_load((ROOT / "params.yaml").read_text()))


@pytest.fixture
def embedded(tmp_path: Path) -> Path:
    """360 embeddings of 60 people, in no photo set."""
    faces, who = world()
    names = [f"p{number:02d}" for number in who]
    sources = [f"{name}/{row}.jpg" for row, name in enumerate(names)]
    write_embeddings(Embeddings(faces.astype(np.float32), sources, names), tmp_path / "E.npy")
    return tmp_path / "E.npy"


def test_the_command_answers_in_json(embedded: Path) -> None:
    done = CliRunner().invoke(app, ["openset", str(embedded), "--protocol", "drawn", "--enrolled", "2", "--json"])
    found = json.loads(done.stdout)
    assert (done.exit_code, found["protocol"]) == (0, "drawn")
    assert found["vr"] is None
    for key in ("dir", "closed_rank1"):
        assert len(found[key]["trials"]) == 10
        assert found[key]["mean"] == pytest.approx(np.mean(found[key]["trials"]))
        assert found[key]["std"] == pytest.approx(np.std(found[key]["trials"], ddof=1))
    assert found["dir"]["by_far"]["1e-1"]["mean"] >= found["dir"]["mean"] == found["dir"]["by_far"]["1e-2"]["mean"]
    assert found["counts"] == {"genuine_probes": 120, "unknown_probes": 180, "trials": 10, "photos": 360, "failures": 0}
    assert found["unsupported"] == ["dir@1e-3"]


def test_people_see_a_table_and_that_lengths_were_changed(embedded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = CliRunner().invoke(app, ["openset", str(embedded), "--protocol", "all-pairs", "--vr-far", "0.01"])
    assert (done.exit_code, done.stdout) == (0, "")
    assert "they were brought to length 1" in " ".join(done.stderr.split())
    assert "vr@1e-2" in done.stderr


def test_published_protocols_find_rows_by_the_names_of_photos(tmp_path: Path) -> None:
    photos, (faces, _) = small_lists(tmp_path), world(people=6, photos=2, noise=0.0)
    rows = [f"x/{name}" for name in photos]
    write_embeddings(Embeddings(faces.astype(np.float32), rows, [""] * 12), tmp_path / "E.npy")
    for protocol, kinds in (("blufr", {"vr", "dir"}), ("best-rowden-open", {"dir"}), ("best-rowden-closed", set())):
        options = OpenSetOptions(protocol, tmp_path, vr_fars=(0.1,), dir_fars=(0.5,))
        found = measure_files(tmp_path / "E.npy", options).result.answer()
        assert {key for key in ("vr", "dir") if found[key]} == kinds
        assert 0 <= found["closed_rank1"]["mean"] <= 1
    with pytest.raises(ParamsError, match=r"does not say who x/P1_0001.jpg shows, which drawn needs"):
        measure_files(tmp_path / "E.npy", OpenSetOptions("drawn"))


def test_embeddings_that_say_nothing_carry_a_doubt(tmp_path: Path) -> None:
    names = [f"p{row // 2}" for row in range(80)]
    matrix = np.ones((80, 4), np.float32)
    matrix[:8] = np.nan
    write_embeddings(Embeddings(matrix, [f"{row}.jpg" for row in range(80)], names), tmp_path / "E.npy")
    judged = measure_files(tmp_path / "E.npy", OpenSetOptions("drawn", dir_fars=(0.1,)))
    assert judged.doubt is not None
    assert "another person scores exactly as the right one does" in judged.doubt
    assert "10.0 % of the photos have no face" in judged.doubt
    assert judged.metrics()["doubt"] == judged.doubt


def test_report_and_summary_show_it_only_where_there_is_one(tmp_path: Path, embedded: Path) -> None:
    plain = parameters()
    plain |= {"packs": [], "benchmarks": {"synth_lfw": plain["benchmarks"]["synth_lfw"]}, "identification": {}}
    without = finished.make(tmp_path / "without", parse_params(plain))
    assert "openset" not in without.page()
    assert "openset" not in json.dumps(summary.headline(without.found))

    tasks = {"drawn": {"benchmark": "synth_lfw", "protocol": "drawn", "lists": None, "gallery": 2}}
    report = finished.make(tmp_path / "with", parse_params(plain | {"openset": tasks}))
    found = report.found["openset"]
    assert summary.headline(report.found)["drawn"]["dir@1e-1"] == found["drawn"]["dir@1e-1"]
    assert "Known probes found against unknown probes let pass" in report.page()
    figures = {each.name: each for each in run_figures.plan_figures(report.sources, report.found)}
    assert "openset_vr" not in figures
    axes = figures["openset_dir"].draw().axes[0]
    assert axes.get_ylabel().startswith("Detection and identification")

    pairs = measure_files(embedded, OpenSetOptions("all-pairs"))
    table = tables.openset_table({"openset": {**found, "pairs": pairs.metrics()}})
    assert table.header[2:-3] == ("VR at FAR 1e-2", "VR at FAR 1e-3", "VR at FAR 1e-4", "DIR at FAR 1e-1")
    drawn, every = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    assert drawn["Rank 1"].startswith(f"{100 * found['drawn']['closed_rank1']:.2f} ± ")
    assert every["VR at FAR 1e-3"] == f"{100 * pairs.result.vr[1e-3].mean:.2f} %"
    assert every["Rank 1"] == drawn["VR at FAR 1e-2"] == "–"  # noqa: RUF001


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ({"benchmark": "nothing"}, "nothing is none of benchmarks"),
        ({"protocol": "blufr"}, "lists of blufr must be a folder"),
        ({"protocol": "blufr", "lists": "data/raw/lfw_protocols"}, "which download does not fetch"),
        ({"lists": "x"}, "lists of drawn must be null"),
        ({"protocol": "blurf"}, "protocol"),
    ],
)
def test_tasks_that_cannot_run_are_refused(task: dict[str, str], told: str) -> None:
    plain = parameters()
    plain["openset"] = {"mine": {"benchmark": "synth_lfw", "protocol": "drawn", "lists": None} | task}
    with pytest.raises(ParamsError, match=told):
        parse_params(plain)


def test_a_task_has_a_name_of_its_own() -> None:
    plain = parameters()
    plain["openset"] = {"synth_lfw": {"benchmark": "synth_lfw", "protocol": "all-pairs", "lists": None}}
    with pytest.raises(ParamsError, match="has the name of another benchmark"):
        parse_params(plain)


def test_the_stage_leaves_a_record_and_its_curve(
    tmp_path: Path, embedded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = parameters()
    run["openset"] = {
        "mine": {"benchmark": "synth_lfw", "protocol": "drawn", "lists": None, "trials": 3, "fusion": "mean"}
    }
    monkeypatch.chdir(tmp_path)
    Path("data/embeddings").mkdir(parents=True)
    for end in (".npy", ".parquet"):
        embedded.with_suffix(end).rename(f"data/embeddings/synth_lfw{end}")
    openset.openset(parse_params(run), "mine")
    assert "mine: the embeddings have lengths from" in " ".join(capsys.readouterr().err.split())
    result, details, curves = (
        json.loads(Path(f"data/scores/mine/{n}.json").read_text()) for n in ("result", "details", "curves")
    )
    assert result["dir@1e-2"] == details["dir"]["mean"] > 0
    assert (result["trials"], len(details["dir"]["trials"])) == (3, 3)
    assert json.loads(Path("reports/curves/mine_dir.json").read_text()) == {"dir": curves["dir"]}
    assert (curves["dir"][-1]["fpr"], curves["vr"]) == (1, [])


def test_damaged_lists_are_told(tmp_path: Path, embedded: Path) -> None:
    small_lists(tmp_path)
    (tmp_path / "lfw_gallery_index.mat").write_bytes((tmp_path / "id_lfw.mat").read_bytes())
    with pytest.raises(FormatError, match="lists of best-rowden-open do not fit each other"):
        measure_files(embedded, OpenSetOptions("best-rowden-open", tmp_path))
