"""The report of a run: every figure as PNG and SVG, one HTML page, and the summary people diff.

Reads what the stages left: small metrics and curves, and the scores of every benchmark.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from facerec import images
from facerec.errors import FormatError
from facerec.files import atomic_dir, write_json, write_text
from facerec.reporting import curves, figures, page, summary

SYNTHETIC = (
    "Measured on synthetic faces: it shows that the pipeline works and how runs compare. "
    "It is no evidence about real faces."
)


_SHEET_WIDTH = 900  # pixels of a contact sheet on the page


@dataclass(frozen=True)
class Sources:
    """Where the results of a run lie, and which belong to it."""

    metrics: Path
    curves: Path
    sheets: Path
    scores: Path
    benchmarks: Sequence[str]
    identification: Sequence[str]
    networks: Sequence[str]
    photos: Sequence[str]


def write(sources: Sources, params: str, note: str, out: Path) -> None:
    """Write figures/, index.html and summary.json below `out`; `params` is shown on the page as it is."""
    found = collect(sources)
    drawn = draw(sources, found)
    with atomic_dir(out / "figures") as folder:
        for name, (_, figure) in drawn.items():
            figures.save(figure, folder / f"{name}.png", folder / f"{name}.svg")
        shown = [(caption, folder / f"{name}.svg") for name, (caption, _) in drawn.items()]
        faces = [(f"{name}: faces as aligned", _reduced(sources, name, folder)) for name in sources.photos]
        write_text(out / "index.html", page.render(found, shown, params, note=note, sheets=faces))
    write_json(out / "summary.json", summary.headline(found))


def collect(sources: Sources) -> dict[str, Any]:
    """All metrics of the run in one nested mapping of scalars."""
    verification = {name: _load(sources.scores / name / "result.json") for name in sources.benchmarks}
    identification = {name: _load(sources.scores / name / "result.json") for name in sources.identification}
    others = {
        "denoise": sources.identification,
        "train": sources.networks,
        "align": sources.photos,
        "detect": sources.photos,
    }
    groups: dict[str, dict[str, Any]] = {group: {} for group in others}
    for group, names in others.items():
        for name in names:
            groups[group] |= _load(sources.metrics / group / f"{name}.json")
    return summary.gather(verification=verification, identification=identification, **groups)


def draw(sources: Sources, found: dict[str, Any]) -> dict[str, tuple[str, Figure]]:
    """File name -> (caption, figure), in the order of the page."""
    drawn: dict[str, tuple[str, Figure]] = {}
    rocs = {name: _load(sources.curves / f"{name}_roc.json")["roc"] for name in sources.benchmarks}
    if rocs:
        judged = found["verification"]
        accuracy = {name: (judged[name]["accuracy"], judged[name]["accuracy_std"]) for name in rocs}
        drawn["verification_roc"] = ("Verification ROC", figures.verification_roc(rocs, accuracy))
    for name in sources.identification:
        runs = {kind: _load(sources.scores / name / f"{kind}_curves.json") for kind in ("raw", "cleaned")}
        cmcs = {kind: run["cmc"] for kind, run in runs.items()}
        drawn[f"{name}_cmc"] = (f"{name}: identification rate by rank", figures.cmc(cmcs))
        id_rocs = {kind: run["roc"] for kind, run in runs.items()}
        drawn[f"{name}_roc"] = (
            f"{name}: true positives by false positives",
            figures.identification_roc(id_rocs),
        )
    for name in sources.benchmarks:
        drawn[f"{name}_scores"] = (f"{name}: distances of its pairs", _histogram(sources, name, found))
    for name in sources.networks:
        drawn[f"{name}_training"] = (f"Training of {name}", _training(sources, name))
        drawn[f"{name}_parity"] = (f"{name}: torch against ONNX", _parity(sources, name))
    return drawn


def _histogram(sources: Sources, name: str, found: dict[str, Any]) -> Figure:
    scores = pq.read_table(sources.scores / name / "scores.parquet", columns=["distance", "same"])
    records = curves.histogram_records(scores["distance"].to_numpy(), scores["same"].to_numpy())
    title = f"{name}: distances of its pairs"
    return figures.score_histogram(records, found["verification"][name]["threshold"], title)


def _training(sources: Sources, name: str) -> Figure:
    loss, accuracy = (_load(sources.curves / f"{name}_{key}.json")[key] for key in ("loss", "accuracy"))
    records = [{**a, **b} for a, b in zip(loss, accuracy, strict=True)]
    return figures.training(records, "epoch", f"Training of {name}")


def _parity(sources: Sources, name: str) -> Figure:
    points = _load(sources.curves / f"{name}_parity.json")["parity"]
    return figures.parity([point["torch"] for point in points], [point["onnx"] for point in points])


def _reduced(sources: Sources, name: str, folder: Path) -> Path:
    """The sheet of face set `name`, small enough for the page."""
    sheet, small = sources.sheets / f"{name}.jpg", folder / f"{name}_faces.jpg"
    try:
        picture = images.decode(sheet.read_bytes())
    except OSError as error:
        raise FormatError(f"cannot read the sheet {sheet} ({error}); run `dvc repro`.") from error
    scale = min(1.0, _SHEET_WIDTH / picture.shape[1])
    reduced = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    small.write_bytes(images.encode_jpeg(np.asarray(reduced, np.uint8), 75))
    return small


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot read the result {path} ({error}); run `dvc repro`.") from error
