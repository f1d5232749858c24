"""Pictures of answers: two photos and where their likeness stands, a photo and who is in it.

A picture shows what numbers hide: the wrong face chosen, landmarks astray, a match that no person would make.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle

from facerec.core import ParamsError
from facerec.imaging import images
from facerec.recognition import results
from facerec.recognition.faces import Pixels, Portrait
from facerec.recognition.results import UNKNOWN, Candidate, Identified, PhotoComparison, Search
from facerec.recognition.thresholds import Threshold
from facerec.reporting import figures

SUFFIXES = (".png", ".svg")
_SIDE = 900
"""Pixels of a photo's longer side in a picture."""
_INK, _GREY, _LIGHT = "#222222", "#6b6b6b", "#dddddd"
_SAME, _DIFFERENT, _OPEN = figures.COLOURS[0], figures.COLOURS[1], figures.COLOURS[5]
_LANDMARKS = ("#ff0000", "#00ff00", "#3b6bff", "#ffff00", "#ff00ff")
"""As in `facerec.detection.draw_faces`: a swapped order is seen at a glance."""
_BINS = np.linspace(-1, 1, 81)
_SHOWN = 3
"""Candidates of a face in the picture of a search."""


def check_name(path: Path) -> None:
    """ParamsError unless a picture can be written under this name."""
    if path.suffix not in SUFFIXES:
        raise ParamsError(f"a picture is written as {' or '.join(SUFFIXES)}, not {path.name}.")


def save(figure: Figure, path: Path) -> None:
    """Write the picture atomically, as its suffix says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names in letters that the font lacks show as boxes
        figures.save_figure(figure, path)


def comparison(found: PhotoComparison) -> Figure:
    """Both photos with the chosen faces, both crops, and the similarity among those of the benchmark."""
    with style.context("default"):
        figure = Figure(figsize=(9, 6.6), layout="constrained", facecolor="white")
        colour = _INK if found.same is None else _colour(found.same)
        figure.suptitle(_headline(found), fontsize=15, fontweight="bold", color=colour)
        above, below = _split(figure, 2, 1, height_ratios=(3.2, 2.2))
        for axes, portrait in zip(above.subplots(1, 2), (found.first, found.second), strict=True):
            _portrait(axes, portrait, _colour(found.same))
        left, right = _split(below, 1, 2, width_ratios=(2, 3.4))
        for axes, portrait in zip(left.subplots(1, 2), (found.first, found.second), strict=True):
            _picture(axes, images.decode(portrait.face.crop))
        left.supxlabel("as the network sees them", fontsize=8, color=_GREY)
        _scale(right.subplots(), found)
        _footnote(figure, results.match_verdict(found), found.caution)
    return figure


def search(found: Search) -> Figure:
    """The photo with its faces named, and beside it every face with those of the gallery it is most like."""
    rows = len(found.people)
    with style.context("default"):
        figure = Figure(figsize=(10, max(4.6, 1.25 * rows + 1)), layout="constrained", facecolor="white")
        left, right = _split(figure, 1, 2)
        _crowd(left.subplots(), found)
        right.suptitle("each face, and whom in the gallery it is most like", fontsize=9, color=_GREY)
        shown = min(_SHOWN, max(len(person.candidates) for person in found.people))
        grid = right.subplots(rows, 1 + shown, squeeze=False)
        for number, (line, person) in enumerate(zip(grid, found.people, strict=True)):
            _line(line, number, person, found.threshold)
        _footnote(figure, results.rates(found), found.caution)
    return figure


def _split(figure: Figure | SubFigure, rows: int, columns: int, **ratios: Any) -> list[SubFigure]:
    return list(figure.subfigures(rows, columns, squeeze=False, **ratios).ravel())


def _headline(found: PhotoComparison) -> str:
    similarity = f"similarity {found.similarity:.3f}"
    return {True: "Same person", False: "Different people", None: "Not decided"}[
        found.same
    ] + f", {similarity}"


def _colour(accepted: bool | None) -> str:
    return _OPEN if accepted is None else _SAME if accepted else _DIFFERENT


def _footnote(figure: Figure, *lines: str) -> None:
    text = "\n".join(f"{line[0].upper()}{line[1:]}." for line in lines if line)
    figure.supxlabel(text, fontsize=8, color=_GREY, parse_math=False, wrap=True)


def _picture(axes: Axes, pixels: Pixels) -> None:
    axes.imshow(pixels)
    axes.set_axis_off()


def _reduced(pixels: Pixels) -> tuple[Pixels, float]:
    """The photo at a size that suits a picture, and by what it was scaled."""
    scale = min(1.0, _SIDE / max(pixels.shape[:2]))
    if scale == 1:
        return pixels, 1.0
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _portrait(axes: Axes, portrait: Portrait, colour: str) -> None:
    pixels, scale = _reduced(portrait.pixels)
    _picture(axes, pixels)
    for box in portrait.found.boxes:
        _box(axes, box * scale, _LIGHT, 0.8)
    face = portrait.face
    if face.box is not None:
        _box(axes, face.box * scale, colour, 2.2)
    if face.landmarks is not None:
        x, y = (face.landmarks * scale).T
        axes.scatter(x, y, s=14, c=_LANDMARKS, edgecolors="black", linewidths=0.5)
    count = max(1, len(portrait.found))
    faces = "1 face" if count == 1 else f"{count} faces"
    axes.set_title(f"{results.short(portrait.name)} · {faces}", fontsize=9, color=_INK, parse_math=False)


def _box(axes: Axes, box: np.ndarray, colour: str, width: float) -> None:
    x1, y1, x2, y2 = (float(value) for value in box)
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=width))


def _scale(axes: Axes, found: PhotoComparison) -> None:
    """Where the similarity stands between those of other pairs."""
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.set_yticks([])
    axes.tick_params(labelsize=8, colors=_GREY)
    axes.set_xlabel("cosine similarity", fontsize=8, color=_GREY)
    lowest = min(-0.2, found.similarity)
    if found.threshold is not None:
        lowest = min(lowest, _histograms(axes, found.threshold))
        axes.axvline(found.threshold.similarity, color=_INK, linewidth=1.2, linestyle="--")
    axes.set_ylim(0, max(axes.get_ylim()[1], 0.1) * 1.45)
    axes.set_xlim(lowest - 0.05, 1.05)
    top = axes.get_ylim()[1]
    axes.plot([found.similarity] * 2, [0, top * 0.72], color=_colour(found.same), linewidth=2.5)
    axes.plot(found.similarity, top * 0.72, "v", color=_colour(found.same), markersize=9)
    _label(axes, found.similarity, top * 0.78, f"this pair {found.similarity:.3f}", _colour(found.same))
    if found.threshold is not None:
        _label(
            axes, found.threshold.similarity, top * 0.9, f"threshold {found.threshold.similarity:.3f}", _INK
        )


def _label(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    """Text beside x, on the side with more room."""
    low, high = axes.get_xlim()
    right = x < (low + high) / 2
    text = f" {text}" if right else f"{text} "
    axes.text(
        x,
        y,
        text,
        horizontalalignment="left" if right else "right",
        fontsize=9,
        fontweight="bold",
        color=colour,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1},
    )


def _histograms(axes: Axes, threshold: Threshold) -> float:
    """Draw the benchmark's pairs of both kinds, each as shares of its kind; returns the least similarity."""
    measured = threshold.measured
    similarity = 1 - measured.distances / 2
    for label, chosen, colour in (("same", measured.same, _SAME), ("different", ~measured.same, _DIFFERENT)):
        counts = np.histogram(similarity[chosen], _BINS)[0]
        shares = counts / max(counts.sum(), 1)
        name = f"{counts.sum():,} {label} pairs of {measured.benchmark}"
        axes.stairs(shares, _BINS, fill=True, color=colour, alpha=0.35, label=name)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.22), ncols=2, fontsize=8, frameon=False)
    return float(similarity.min(initial=0))


def _crowd(axes: Axes, found: Search) -> None:
    pixels, scale = _reduced(found.pixels)
    _picture(axes, pixels)
    for number, person in enumerate(found.people):
        if person.face.box is None:
            continue
        box, colour = person.face.box * scale, _decided(person, found.threshold)
        _box(axes, box, colour, 2.2)
        axes.text(
            float(box[0]),
            float(box[1]),
            f"{number} {_called(person, found.threshold)}",
            fontsize=8,
            color="white",
            verticalalignment="bottom",
            parse_math=False,
            clip_on=True,
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.5},
        )
    axes.set_title(results.short(found.name), fontsize=9, color=_INK, parse_math=False)


def _decided(person: Identified, threshold: Threshold | None) -> str:
    return _colour(None if threshold is None else person.name is not None)


def _called(person: Identified, threshold: Threshold | None) -> str:
    return results.short(person.name, 24) if person.name else "" if threshold is None else UNKNOWN


def _line(axes: Sequence[Axes], number: int, person: Identified, threshold: Threshold | None) -> None:
    """One face and those it is most like."""
    _picture(axes[0], images.decode(person.face.crop))
    title = f"{number} {_called(person, threshold)}"
    axes[0].set_title(title, fontsize=8, color=_decided(person, threshold), parse_math=False, loc="left")
    for place, each in enumerate(axes[1:]):
        each.set_axis_off()
        if place < len(person.candidates):
            _candidate(each, person.candidates[place], threshold)


def _candidate(axes: Axes, candidate: Candidate, threshold: Threshold | None) -> None:
    face = candidate.entry.face
    axes.imshow(np.full((112, 112, 3), 221, np.uint8) if face is None else images.decode(face))
    accepted = None if threshold is None else threshold.accepts(candidate.similarity)
    title = f"{results.short(candidate.entry.name, 20)}\n{candidate.similarity:.3f}"
    axes.set_title(title, fontsize=7, color=_colour(accepted) if accepted else _GREY, parse_math=False)
