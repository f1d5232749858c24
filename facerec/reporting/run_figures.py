"""The figures of a run: the stage plots draws them and lists them in index.json, report shows them in that order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from facerec.core import atomic_dir, write_json
from facerec.evaluation import curves
from facerec.reporting import figures
from facerec.reporting.summary import Sources, load_metrics
from facerec.store.embeddings import read_scores


@dataclass(frozen=True)
class PlannedFigure:
    """A figure that can be drawn.

    Attributes:
        name: of its files, without suffix.
        section: of the page: "verification", "identification", "openset" or "training".
        caption: on the page.
        draw: makes the figure.
    """

    name: str
    section: str
    caption: str
    draw: Callable[[], Figure]


def write_figures(planned: Iterable[PlannedFigure], out: Path) -> None:
    """Replace directory `out` by each figure as PNG and SVG, and index.json, which lists them."""
    planned = list(planned)
    with atomic_dir(out) as folder:
        for each in planned:
            figures.save_figure(each.draw(), folder / f"{each.name}.png", folder / f"{each.name}.svg")
        write_json(folder / "index.json", index_figures(planned))


def index_figures(planned: Iterable[PlannedFigure]) -> list[dict[str, str]]:
    """Name, section and caption of each figure, in the order of the page."""
    return [{"name": each.name, "section": each.section, "caption": each.caption} for each in planned]


def plan_figures(sources: Sources, found: Mapping[str, Any]) -> Iterator[PlannedFigure]:
    """All figures of a run, in the order of the page.

    Args:
        sources: of the run.
        found: its metrics, as `facerec.reporting.summary.collect_metrics` nests them.
    """
    if found.get("verification"):
        yield from _plan_verification(sources, found["verification"])
    for name in sources.params.identification:
        draw = partial(_draw_identification, sources, name)
        caption = f"{name}: how often the mate is among the best k, with 95 % bands; higher is better."
        yield PlannedFigure(f"{name}_cmc", "identification", caption, partial(draw, "cmc", figures.cmc_figure))
        caption = f"{name}: matches found against false alarms, with 95 % bands; higher is better."
        yield PlannedFigure(f"{name}_roc", "identification", caption, partial(draw, "roc", figures.identification_roc))
    yield from _plan_openset(sources, found.get("openset", {}))
    for name in sources.params.networks:
        yield from _plan_training(sources, name, found["train"][name])


def _plan_verification(sources: Sources, found: Mapping[str, Any]) -> Iterator[PlannedFigure]:
    accuracy = {name: (each["accuracy"], each["accuracy_std"]) for name, each in found.items()}
    eer = {name: each["eer"] for name, each in found.items()}
    caption = "True accepts against false accepts, with 95 % bands; higher is better."
    draw = partial(_draw_verification, sources, figures.verification_roc, accuracy)
    yield PlannedFigure("verification_roc", "verification", caption, draw)
    caption = "The same errors on axes of normal deviates, with 95 % bands; lower is better."
    draw = partial(_draw_verification, sources, figures.det_figure, eer)
    yield PlannedFigure("verification_det", "verification", caption, draw)
    for name in sources.params.benchmarks:
        caption = f"{name}: distances of its pairs. Where the two overlap, a threshold errs."
        draw = partial(_draw_distances, sources, name, found[name]["threshold"])
        yield PlannedFigure(f"{name}_scores", "verification", caption, draw)
    for name in sources.params.quality:
        caption = f"{name}: genuine pairs that are missed when the photos or pairs of the worst quality are rejected."
        yield PlannedFigure(f"{name}_reject", "verification", caption, partial(_draw_rejects, sources, name))


def _plan_openset(sources: Sources, found: Mapping[str, Any]) -> Iterator[PlannedFigure]:
    plans = (
        ("dir", "unknown_probes", "Known probes found against unknown probes let pass", figures.dir_figure),
        ("vr", "impostor_pairs", "Genuine pairs accepted against impostor pairs accepted", figures.all_pairs_roc),
    )
    for kind, needed, what, draw in plans:
        if names := [name for name, values in found.items() if values.get(needed)]:
            caption = f"{what}, over trials; the bands reach from the least of them to the greatest; higher is better."
            yield PlannedFigure(
                f"openset_{kind}", "openset", caption, partial(_draw_openset, sources, names, kind, draw)
            )


def _plan_training(sources: Sources, name: str, trained: Mapping[str, Any]) -> Iterator[PlannedFigure]:
    caption = f"{name}: loss and accuracy over the training batches of each epoch."
    yield PlannedFigure(f"{name}_training", "training", caption, partial(_draw_training, sources, name))
    if "best_step" in trained:
        caption = f"{name}: benchmarks judged while it trained; those that choose weights do not test them."
        draw = partial(_draw_validation, sources, name, trained["best_step"])
        yield PlannedFigure(f"{name}_validation", "training", caption, draw)


def _draw_verification(sources: Sources, draw: Callable[..., Figure], legend: Mapping[str, Any]) -> Figure:
    return draw({name: _curve(sources, name, "roc") for name in sources.params.benchmarks}, legend)


def _draw_distances(sources: Sources, name: str, threshold: float) -> Figure:
    scores = read_scores(sources.scores / name)
    records = curves.histogram_records(scores.distance, scores.same)
    return figures.score_histogram(records, threshold, f"{name}: distances of its pairs")


def _draw_rejects(sources: Sources, name: str) -> Figure:
    curves_by_unit = _curve(sources, name, "reject")
    drawn = {unit: curves_by_unit[unit] for unit in sorted(curves_by_unit, reverse=True)}
    return figures.reject_figure(drawn, sources.params.verify.far, f"{name}: error versus reject")


def _draw_identification(sources: Sources, name: str, kind: str, draw: Callable[[Any], Figure]) -> Figure:
    runs = ("raw", "cleaned")
    return draw({run: load_metrics(sources.scores / name / f"{run}_curves.json")[kind] for run in runs})


def _draw_openset(sources: Sources, names: list[str], kind: str, draw: Callable[[Any], Figure]) -> Figure:
    return draw({name: load_metrics(sources.scores / name / "curves.json")[kind] for name in names})


def _draw_training(sources: Sources, name: str) -> Figure:
    both = zip(_curve(sources, name, "loss"), _curve(sources, name, "accuracy"), strict=True)
    return figures.training_figure([{**a, **b} for a, b in both], "epoch", f"Training of {name}")


def _draw_validation(sources: Sources, name: str, best: int) -> Figure:
    return figures.validation_figure(_curve(sources, name, "validation"), best, f"{name}, judged while it trained")


def _curve(sources: Sources, name: str, kind: str) -> Any:
    """Records of reports/curves/<name>_<kind>.json."""
    return load_metrics(sources.curves / f"{name}_{kind}.json")[kind]
