"""The figures of a run: which there are, where they stand on the page, and what they are drawn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from matplotlib.figure import Figure

from facerec.core import atomic_dir
from facerec.evaluation import curves
from facerec.reporting import figures
from facerec.reporting.summary import Sources, load_metrics


@dataclass(frozen=True)
class PlannedFigure:
    """A figure of a run that is yet to be drawn."""

    name: str
    """Of its files, without extension."""
    section: str
    """Of the page: "verification", "identification" or "training"."""
    caption: str
    draw: Callable[[], Figure]


def write_figures(plots: Iterator[PlannedFigure], out: Path) -> None:
    """Draw each plot as PNG and SVG into directory `out`, which is replaced whole."""
    with atomic_dir(out) as folder:
        for plot in plots:
            figures.save_figure(plot.draw(), folder / f"{plot.name}.png", folder / f"{plot.name}.svg")


def plan_figures(sources: Sources, found: Mapping[str, Any]) -> Iterator[PlannedFigure]:
    """All figures in the order of the page; `found` are the metrics of the run, see `results.collect`."""
    yield from _verification(sources, found)
    for name in sources.params.identification:
        yield PlannedFigure(
            f"{name}_cmc",
            "identification",
            f"{name}: how often the mate is among the best k, with 95 % bands; higher is better.",
            partial(_identification, sources, name, "cmc", figures.cmc_figure),
        )
        yield PlannedFigure(
            f"{name}_roc",
            "identification",
            f"{name}: matches found against false alarms, with 95 % bands; higher is better.",
            partial(_identification, sources, name, "roc", figures.identification_roc),
        )
    for name in sources.params.networks:
        caption = f"{name}: loss and accuracy over the training batches of each epoch."
        yield PlannedFigure(f"{name}_training", "training", caption, partial(_training, sources, name))
        if "best_step" in found["train"][name]:
            caption = (
                f"{name}: benchmarks judged while it trained; those that choose weights do not test them."
            )
            yield PlannedFigure(
                f"{name}_validation", "training", caption, partial(_validation, sources, name, found)
            )
        caption = (
            f"{name}: the same embeddings by the weights and by their ONNX export; points belong on the line."
        )
        yield PlannedFigure(f"{name}_parity", "training", caption, partial(_parity, sources, name))


def _verification(sources: Sources, found: Mapping[str, Any]) -> Iterator[PlannedFigure]:
    benchmarks = list(sources.params.benchmarks)
    if not benchmarks:
        return
    yield PlannedFigure(
        "verification_roc",
        "verification",
        "True accepts against false accepts, with 95 % bands; higher is better.",
        partial(_roc, sources, found),
    )
    yield PlannedFigure(
        "verification_det",
        "verification",
        "The same errors on axes of normal deviates, with 95 % bands; lower is better.",
        partial(_det, sources, found),
    )
    for name in benchmarks:
        caption = f"{name}: distances of its pairs. Where the two overlap, a threshold errs."
        yield PlannedFigure(
            f"{name}_scores", "verification", caption, partial(_histogram, sources, name, found)
        )


def _rocs(sources: Sources) -> dict[str, Any]:
    return {
        name: load_metrics(sources.curves / f"{name}_roc.json")["roc"] for name in sources.params.benchmarks
    }


def _roc(sources: Sources, found: Mapping[str, Any]) -> Figure:
    judged = found["verification"]
    accuracy = {name: (each["accuracy"], each["accuracy_std"]) for name, each in judged.items()}
    return figures.verification_roc(_rocs(sources), accuracy)


def _det(sources: Sources, found: Mapping[str, Any]) -> Figure:
    return figures.det_figure(
        _rocs(sources), {name: each["eer"] for name, each in found["verification"].items()}
    )


def _identification(sources: Sources, name: str, curve: str, draw: Callable[[Any], Figure]) -> Figure:
    runs = ("raw", "cleaned")
    return draw({run: load_metrics(sources.scores / name / f"{run}_curves.json")[curve] for run in runs})


def _histogram(sources: Sources, name: str, found: Mapping[str, Any]) -> Figure:
    scores = pq.read_table(sources.scores / name / "scores.parquet", columns=["distance", "same"])
    records = curves.histogram_records(scores["distance"].to_numpy(), scores["same"].to_numpy())
    title = f"{name}: distances of its pairs"
    return figures.score_histogram(records, found["verification"][name]["threshold"], title)


def _training(sources: Sources, name: str) -> Figure:
    loss, accuracy = (
        load_metrics(sources.curves / f"{name}_{key}.json")[key] for key in ("loss", "accuracy")
    )
    records = [{**a, **b} for a, b in zip(loss, accuracy, strict=True)]
    return figures.training_figure(records, "epoch", f"Training of {name}")


def _validation(sources: Sources, name: str, found: Mapping[str, Any]) -> Figure:
    looks = load_metrics(sources.curves / f"{name}_validation.json")["validation"]
    return figures.validation_figure(
        looks, found["train"][name]["best_step"], f"{name}, judged while it trained"
    )


def _parity(sources: Sources, name: str) -> Figure:
    points = load_metrics(sources.curves / f"{name}_parity.json")["parity"]
    return figures.parity_figure([point["torch"] for point in points], [point["onnx"] for point in points])
