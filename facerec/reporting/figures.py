"""Figures of face-recognition papers (ROC, DET, CMC, histograms, training), drawn from lists of records.

`facerec.evaluation.curves` makes the records. Every function returns a matplotlib figure and changes no global state;
`save_figure` writes the same bytes for the same data. Colours are Okabe and Ito's, which colour-blind readers can tell
apart; line styles differ too.
"""

from __future__ import annotations

import io
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from facerec.core import FormatError, atomic_file, rate_name, shown

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (5, 3)))
_GREY = "#6b6b6b"
_RC: Any = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": _GREY,
    "axes.labelcolor": "#222222",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "font.family": ["sans-serif"],
    "font.size": 10,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.7,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "lines.linewidth": 2,
    "svg.fonttype": "none",
    "svg.hashsalt": "facerec",
    "xtick.color": _GREY,
    "ytick.color": _GREY,
}
_SIZE = (4.6, 3.9)
"""Inches; small, so that letters of 10 points are still 7 on a telephone."""
_METADATA = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}

_NORMAL = NormalDist()
_DET_RATES = (1e-6, 1e-5, 1e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98)
_DET_MOST = 0.6
"""Highest false-accept rate that is drawn; false-reject rates are drawn as far as they go."""

Curves = Mapping[str, Sequence[Mapping[str, float]]]
"""Name in the legend -> its records."""

_styled = style.context(["default", _RC])
"""Decorator: draw in our style, whatever matplotlibrc says, and leave the global style as it was."""


@_styled
def render_figure(figure: Figure, kind: str = "svg") -> bytes:
    """The bytes of the figure as a "png" (150 dpi) or "svg" file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=150, metadata=_METADATA[kind])
    return buffer.getvalue()


def save_figure(figure: Figure, *paths: str | Path) -> None:
    """Write the figure to each path atomically; FormatError unless its suffix is .png or .svg."""
    for path in map(Path, paths):
        if path.suffix[1:] not in _METADATA:
            raise FormatError(f"A figure cannot be written as {path.name}; use .png or .svg.")
        data = render_figure(figure, path.suffix[1:])
        with atomic_file(path) as temporary:
            temporary.write_bytes(data)


def verification_roc(curves: Curves, accuracy: Mapping[str, tuple[float, float]] | None = None) -> Figure:
    """ROC of benchmarks: name -> records {"fpr", "tpr", "lo", "hi"}; accuracy: name -> (mean, spread)."""
    labels = {
        name: f"{name}: {100 * mean:.2f} ± {100 * spread:.2f} % accuracy"
        for name, (mean, spread) in (accuracy or {}).items()
    }
    return roc_figure(curves, "Verification: same person or not?", "False-accept", "True-accept", labels)


def identification_roc(curves: Curves) -> Figure:
    """ROC of identification runs, such as raw and cleaned: name -> records {"fpr", "tpr", "lo", "hi"}."""
    title = "Identification: errors among strangers"
    return roc_figure(curves, title, "False-positive", "True-positive")


def dir_figure(curves: Curves) -> Figure:
    """DIR by FAR of open-set protocols: name -> records {"fpr", "tpr", "lo", "hi"}."""
    title = "Open set: people found, strangers accepted"
    return roc_figure(curves, title, "False-positive identification", "Detection and identification")


def all_pairs_roc(curves: Curves) -> Figure:
    """ROC over all pairs of the photos of a protocol: name -> records {"fpr", "tpr", "lo", "hi"}."""
    return roc_figure(curves, "Verification of all pairs", "False-accept", "True-accept")


@_styled
def roc_figure(
    curves: Curves,
    title: str = "",
    false: str = "False accept",
    true: str = "True accept",
    labels: Mapping[str, str] | None = None,
) -> Figure:
    """ROC of anything: name -> records {"fpr", "tpr", "lo", "hi"}; `labels` replace names in the legend."""
    title = title or "True and false accepts"
    figure, axes = _new_figure(title, f"{false} rate (log scale)", f"{true} rate")
    drawn = {name: [r for r in records if r["fpr"] > 0] for name, records in curves.items()}
    lowest = min((records[0]["fpr"] for records in drawn.values() if records), default=1e-3)
    for index, (name, records) in enumerate(drawn.items()):
        _line(axes, index, (labels or {}).get(name, name), *_columns(records, "fpr", "tpr"))
    axes.set_xscale("log")
    axes.set_xlim(10.0 ** np.floor(np.log10(min(lowest, 0.1)) + 1e-9), 1)
    floor = _rate_axis(axes, min((r["lo"] for c in drawn.values() for r in c), default=0))
    if floor == 0:
        chance = np.geomspace(axes.get_xlim()[0], 1, 100)
        axes.plot(chance, chance, color=_GREY, linewidth=1, linestyle=":", label="chance")
    _legend(axes)
    return figure


@_styled
def det_figure(curves: Curves, eer: Mapping[str, float] | None = None) -> Figure:
    """DET of benchmarks: name -> records {"fpr", "tpr", "lo", "hi"} of its ROC; eer: name -> equal error rate.

    Both axes are normal deviates, so that normally distributed scores give straight lines. Source: Martin et al., The
    DET Curve in Assessment of Detection Task Performance, Eurospeech 1997.
    """
    figure, axes = _new_figure("Detection error trade-off", "False-accept rate", "False-reject rate")
    for index, (name, records) in enumerate(curves.items()):
        accepts, *rates = _columns(records, "fpr", "tpr")
        misses, high, low = (_deviates(1 - rate) for rate in rates)
        label = f"{name}: {100 * eer[name]:.2f} % equal error rate" if eer and name in eer else name
        _line(axes, index, label, _deviates(accepts), misses, low, high)
    everything = [record for records in curves.values() for record in records]
    _deviate_axis(axes.xaxis, axes.set_xlim, [r["fpr"] for r in everything if r["fpr"] < _DET_MOST])
    _deviate_axis(axes.yaxis, axes.set_ylim, [1 - r["tpr"] for r in everything if r["fpr"] > 0])
    ends = _deviates(np.array([_DET_RATES[0], _DET_RATES[-1]]))
    axes.plot(ends, ends, color=_GREY, linewidth=1, linestyle=":", label="equal errors")
    _legend(axes)
    return figure


@_styled
def cmc_figure(curves: Curves, title: str = "") -> Figure:
    """CMC of identification runs: name -> records {"rank", "rate", "lo", "hi"}; the legend gives rank 1."""
    title = title or "Identification: mate among the best k"
    figure, axes = _new_figure(title, "Rank k (log scale)", "Identification rate")
    last = max((records[-1]["rank"] for records in curves.values() if records), default=1)
    for index, (name, records) in enumerate(curves.items()):
        x, y, low, high = _columns(records, "rank", "rate")
        first = y[0] if len(x) and x[0] == 1 else 0.0
        x, y, low, high = (np.append(c, e) for c, e in ((x, last), (y, y[-1]), (low, low[-1]), (high, high[-1])))
        _line(axes, index, f"{name}: {100 * first:.2f} % at rank 1", x, y, low, high)
    axes.set_xscale("log")
    axes.set_xlim(1, max(last, 10))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rank, position: f"{rank:,.0f}"))
    _rate_axis(axes, min((r["lo"] for c in curves.values() for r in c), default=0))
    axes.legend(loc="lower right")
    return figure


@_styled
def reject_figure(curves: Curves, far: float, title: str = "") -> Figure:
    """Error versus reject: what is rejected -> records {"rejected", "fnmr", "lo", "hi"} at the false match rate `far`."""
    figure, axes = _new_figure(
        title or "Error versus reject", "Share rejected, worst quality first", "False non-match rate"
    )
    for index, (name, records) in enumerate(curves.items()):
        _line(axes, index, f"{name} rejected, FMR {rate_name(far)}", *_columns(records, "rejected", "fnmr"))
    axes.set_xlim(0, max(record["rejected"] for records in curves.values() for record in records) or 1)
    axes.set_ylim(0, None)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    _legend(axes)
    return figure


@_styled
def score_histogram(
    records: Sequence[Mapping[str, float]], threshold: float | None = None, title: str = "Distances of the pairs"
) -> Figure:
    """Genuine and impostor pairs by score: records {"low", "high", "same", "different"}, drawn as shares of each kind."""
    figure, axes = _new_figure(title, "Squared distance of normalised embeddings", "Share of pairs of that kind")
    edges = [record["low"] for record in records] + [records[-1]["high"]]
    for index, kind in enumerate(("same", "different")):
        counts = np.array([record[kind] for record in records], dtype=np.float64)
        label = f"{kind} person ({int(counts.sum()):,} pairs)"
        shares = counts / max(counts.sum(), 1)
        axes.stairs(shares, edges, fill=True, color=COLOURS[index], alpha=0.35)
        axes.stairs(shares, edges, color=COLOURS[index], linewidth=1.6, linestyle=_STYLES[index], label=label)
    if threshold is not None:
        axes.axvline(threshold, color="#222222", linewidth=1.2, label=f"threshold {threshold:.4g}")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    _legend(axes)
    return figure


_PANELS = (("loss", "Loss"), ("accuracy", "Accuracy"), ("lr", "Learning rate"))


@_styled
def training_figure(records: Sequence[Mapping[str, float]], x: str = "step", title: str = "Training") -> Figure:
    """Training curves: records with `x` and any of "loss", "accuracy" and "lr", each in its own panel."""
    panels = [(key, label) for key, label in _PANELS if any(key in record for record in records)]
    if not panels:
        raise FormatError("Training records hold none of loss, accuracy and lr, so there is nothing to draw.")
    size = (_SIZE[0], _SIZE[1] * (len(panels) + 1) / 3)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    column = np.atleast_1d(figure.subplots(len(panels), 1, sharex=True))
    for index, (axes, (key, label)) in enumerate(zip(column, panels, strict=True)):
        points = [(record[x], record[key]) for record in records if record.get(key) is not None]
        marker = "o" if len(points) < 30 else ""
        axes.plot(*zip(*points, strict=True), color=COLOURS[index], marker=marker, markersize=3.5)
        axes.set_ylabel(label)
        if key == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1))
    column[0].set_title(plain_label(title), wrap=True)
    column[-1].set_xlabel(x.capitalize())
    column[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure


@_styled
def validation_figure(looks: Sequence[Mapping[str, Any]], best: int, title: str = "Judged during training") -> Figure:
    """Accuracy of benchmarks over training: records {"step", "accuracy": {name: share}}; `best` is the step kept."""
    figure, axes = _new_figure(title, "Step", "Accuracy")
    steps = [look["step"] for look in looks]
    for index, name in enumerate(looks[0]["accuracy"]):
        colour, line = COLOURS[index % len(COLOURS)], _STYLES[index % len(_STYLES)]
        accuracy = [look["accuracy"][name] for look in looks]
        axes.plot(steps, accuracy, color=colour, linestyle=line, marker="o", markersize=3.5, label=plain_label(name))
    axes.axvline(best, color="#222222", linewidth=1.2, label=f"best mean, step {best:,}")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    _legend(axes)
    return figure


def plain_label(text: str) -> str:
    r"""A label or title that shows the text: no formula between dollars, and in the legend whatever its first letter.

    >>> print(plain_label("$x_1$"))
    \$x_1\$
    """
    label = shown(text, 120).replace("$", r"\$")
    return f" {label}" if label.startswith("_") else label


def _new_figure(title: str, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE, layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_title(plain_label(title), wrap=True)
    return figure, axes


def _columns(records: Sequence[Mapping[str, float]], x: str, y: str) -> tuple[Any, Any, Any, Any]:
    names = (x, y, "lo", "hi")
    rows = np.array([[record[name] for name in names] for record in records], dtype=np.float64)
    return tuple(rows.reshape(-1, 4).T)  # type: ignore[return-value]


def _deviates(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard normal deviates of rates; 0 and 1 come out just outside every axis."""
    inside = np.clip(rates, _DET_RATES[0] / 10, 1 - _DET_RATES[0] / 10)
    return np.array([_NORMAL.inv_cdf(rate) for rate in inside.tolist()])


def _deviate_axis(axis: Axis, limit: Callable[..., Any], rates: Sequence[float]) -> None:
    """Make a percent axis of normal deviates from the lowest rate above 0 to the highest below 1, or to 60 %."""
    inside = [rate for rate in rates if 0 < rate < 1] or [0.1]
    first = max(bisect_right(_DET_RATES, min(inside)) - 1, 0)
    last = bisect_left(_DET_RATES, max(*inside, _DET_MOST))
    ticks = _DET_RATES[first : last + 1]
    labels = ["" if rate == 5e-3 else f"{100 * rate:g}%" for rate in ticks]  # 0.5% has no room between 0.2% and 1%
    axis.set_ticks(_deviates(np.array(ticks)).tolist(), labels)
    limit(*_deviates(np.array([ticks[0], ticks[-1]])))


def _line(axes: Axes, index: int, label: str, x: Any, y: Any, low: Any, high: Any) -> None:
    colour, style = COLOURS[index % len(COLOURS)], _STYLES[index % len(_STYLES)]
    axes.fill_between(x, low, high, step="post", color=colour, alpha=0.15, linewidth=0)
    axes.plot(x, y, drawstyle="steps-post", color=colour, linestyle=style, label=plain_label(label))


def _legend(axes: Axes) -> None:
    """A legend below the axes, in two columns where it has many or only short labels."""
    labels = axes.get_legend_handles_labels()[1]
    wide = len(labels) > 5 or max(map(len, labels), default=0) < 25
    axes.figure.legend(loc="outside lower center", ncols=2 if wide else 1, fontsize=9)


def _rate_axis(axes: Axes, lowest: float) -> float:
    """Make a percent axis that starts at 0, or higher where every curve stays high; returns its start."""
    floor = 0.0 if lowest < 0.55 else 0.5 if lowest < 0.8 else 0.75 if lowest < 0.92 else 0.9
    axes.set_ylim(floor, 1 + (1 - floor) * 0.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return floor
