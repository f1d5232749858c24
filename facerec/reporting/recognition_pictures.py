"""Pictures of results: two photos compared, and a photo searched for people of a gallery.

They show mistakes that numbers hide: the wrong face chosen, misplaced landmarks, an obviously wrong match.
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
from facerec.recognition.results import (
    UNKNOWN,
    Candidate,
    IdentifiedFace,
    PhotoComparison,
    Pixels,
    Portrait,
    SearchResult,
)
from facerec.recognition.thresholds import Threshold
from facerec.reporting import figures

SUFFIXES = (".png", ".svg")
_SIDE = 900
"""Pixels of a photo's longer side in a picture."""
_INK, _GREY, _LIGHT = "#222222", "#6b6b6b", "#dddddd"
_SAME, _DIFFERENT, _OPEN = figures.COLOURS[0], figures.COLOURS[1], figures.COLOURS[5]
_LANDMARKS = ("#ff0000", "#00ff00", "#3b6bff", "#ffff00", "#ff00ff")
"""The colours of `facerec.detection.draw_faces`, so that a swapped order is easy to see."""
_BINS = np.linspace(-1, 1, 81)
_SHOWN = 3
"""Candidates of a face in the picture of a search."""


def check_picture_name(path: Path) -> None:
    """Raise ParamsError unless the suffix is that of a picture."""
    if path.suffix not in SUFFIXES:
        raise ParamsError(f"a picture is written as {' or '.join(SUFFIXES)}, not {path.name}.")


def save_picture(figure: Figure, path: Path) -> None:
    """Write the picture atomically, in the format of its suffix."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks show as boxes
        figures.save_figure(figure, path)


def draw_comparison(found: PhotoComparison) -> Figure:
    """Both photos with the chosen faces, both crops, and the similarity beside those of the benchmark's pairs."""
    with style.context("default"):
        figure = Figure(figsize=(9, 6.6), layout="constrained", facecolor="white")
        colour = _INK if found.same is None else _decision_colour(found.same)
        figure.suptitle(_headline(found), fontsize=15, fontweight="bold", color=colour)
        above, below = _split(figure, 2, 1, height_ratios=(3.2, 2.2))
        for axes, portrait in zip(above.subplots(1, 2), (found.first, found.second), strict=True):
            _draw_portrait(axes, portrait, _decision_colour(found.same))
        left, right = _split(below, 1, 2, width_ratios=(2, 3.4))
        for axes, portrait in zip(left.subplots(1, 2), (found.first, found.second), strict=True):
            _show_pixels(axes, images.decode(portrait.face.crop))
        left.supxlabel("as the network sees them", fontsize=8, color=_GREY)
        _draw_scale(right.subplots(), found)
        _footnote(figure, found.decision, found.caution)
    return figure


def draw_search(found: SearchResult) -> Figure:
    """The photo with names at its faces, and beside it every face with its best candidates of the gallery."""
    rows = len(found.people)
    with style.context("default"):
        figure = Figure(figsize=(10, max(4.6, 1.25 * rows + 1)), layout="constrained", facecolor="white")
        left, right = _split(figure, 1, 2)
        _draw_photo(left.subplots(), found)
        right.suptitle("each face and its most similar people of the gallery", fontsize=9, color=_GREY)
        shown = min(_SHOWN, max(len(person.candidates) for person in found.people))
        grid = right.subplots(rows, 1 + shown, squeeze=False)
        for number, (line, person) in enumerate(zip(grid, found.people, strict=True)):
            _draw_person(line, number, person, found.threshold)
        _footnote(figure, found.decision, found.caution)
    return figure


def _split(figure: Figure | SubFigure, rows: int, columns: int, **ratios: Any) -> list[SubFigure]:
    return list(figure.subfigures(rows, columns, squeeze=False, **ratios).ravel())


def _headline(found: PhotoComparison) -> str:
    similarity = f"similarity {found.similarity:.3f}"
    return {True: "Same person", False: "Different people", None: "Not decided"}[found.same] + f", {similarity}"


def _decision_colour(accepted: bool | None) -> str:
    return _OPEN if accepted is None else _SAME if accepted else _DIFFERENT


def _footnote(figure: Figure, *lines: str) -> None:
    text = "\n".join(f"{line[0].upper()}{line[1:]}." for line in lines if line)
    figure.supxlabel(text, fontsize=8, color=_GREY, parse_math=False, wrap=True)


def _show_pixels(axes: Axes, pixels: Pixels) -> None:
    axes.imshow(pixels)
    axes.set_axis_off()


def _reduced(pixels: Pixels) -> tuple[Pixels, float]:
    """The photo at a size that suits a picture, and the scale factor."""
    scale = min(1.0, _SIDE / max(pixels.shape[:2]))
    if scale == 1:
        return pixels, 1.0
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _draw_portrait(axes: Axes, portrait: Portrait, colour: str) -> None:
    pixels, scale = _reduced(portrait.pixels)
    _show_pixels(axes, pixels)
    for box in portrait.found.boxes:
        _draw_box(axes, box * scale, _LIGHT, 0.8)
    face = portrait.face
    if face.box is not None:
        _draw_box(axes, face.box * scale, colour, 2.2)
    if face.landmarks is not None:
        x, y = (face.landmarks * scale).T
        axes.scatter(x, y, s=14, c=_LANDMARKS, edgecolors="black", linewidths=0.5)
    count = max(1, len(portrait.found))
    faces = "1 face" if count == 1 else f"{count} faces"
    axes.set_title(f"{results.shorten_name(portrait.name)} · {faces}", fontsize=9, color=_INK, parse_math=False)


def _draw_box(axes: Axes, box: np.ndarray, colour: str, width: float) -> None:
    x1, y1, x2, y2 = (float(value) for value in box)
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=width))


def _draw_scale(axes: Axes, found: PhotoComparison) -> None:
    """The similarity on a scale with those of the benchmark's pairs."""
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.set_yticks([])
    axes.tick_params(labelsize=8, colors=_GREY)
    axes.set_xlabel("cosine similarity", fontsize=8, color=_GREY)
    lowest = min(-0.2, found.similarity)
    if found.threshold is not None:
        lowest = min(lowest, _draw_histograms(axes, found.threshold))
        axes.axvline(found.threshold.similarity, color=_INK, linewidth=1.2, linestyle="--")
    axes.set_ylim(0, max(axes.get_ylim()[1], 0.1) * 1.45)
    axes.set_xlim(lowest - 0.05, 1.05)
    top = axes.get_ylim()[1]
    axes.plot([found.similarity] * 2, [0, top * 0.72], color=_decision_colour(found.same), linewidth=2.5)
    axes.plot(found.similarity, top * 0.72, "v", color=_decision_colour(found.same), markersize=9)
    _draw_label(axes, found.similarity, top * 0.78, f"this pair {found.similarity:.3f}", _decision_colour(found.same))
    if found.threshold is not None:
        _draw_label(axes, found.threshold.similarity, top * 0.9, f"threshold {found.threshold.similarity:.3f}", _INK)


def _draw_label(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
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


def _draw_histograms(axes: Axes, threshold: Threshold) -> float:
    """Draw histograms of the genuine and the impostor pairs of the benchmark; returns the least similarity."""
    measured = threshold.measured
    similarity = 1 - measured.distances / 2
    for label, chosen, colour in (("same", measured.same, _SAME), ("different", ~measured.same, _DIFFERENT)):
        counts = np.histogram(similarity[chosen], _BINS)[0]
        shares = counts / max(counts.sum(), 1)
        name = f"{counts.sum():,} {label} pairs of {measured.benchmark}"
        axes.stairs(shares, _BINS, fill=True, color=colour, alpha=0.35, label=name)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.22), ncols=2, fontsize=8, frameon=False)
    return float(similarity.min(initial=0))


def _draw_photo(axes: Axes, found: SearchResult) -> None:
    pixels, scale = _reduced(found.pixels)
    _show_pixels(axes, pixels)
    for number, person in enumerate(found.people):
        if person.face.box is None:
            continue
        box, colour = person.face.box * scale, _person_colour(person, found.threshold)
        _draw_box(axes, box, colour, 2.2)
        axes.text(
            float(box[0]),
            float(box[1]),
            f"{number} {_person_name(person, found.threshold)}",
            fontsize=8,
            color="white",
            verticalalignment="bottom",
            parse_math=False,
            clip_on=True,
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.5},
        )
    axes.set_title(results.shorten_name(found.name), fontsize=9, color=_INK, parse_math=False)


def _person_colour(person: IdentifiedFace, threshold: Threshold | None) -> str:
    return _decision_colour(None if threshold is None else person.name is not None)


def _person_name(person: IdentifiedFace, threshold: Threshold | None) -> str:
    return results.shorten_name(person.name, 24) if person.name else "" if threshold is None else UNKNOWN


def _draw_person(axes: Sequence[Axes], number: int, person: IdentifiedFace, threshold: Threshold | None) -> None:
    """One face and its best candidates."""
    _show_pixels(axes[0], images.decode(person.face.crop))
    title = f"{number} {_person_name(person, threshold)}"
    axes[0].set_title(title, fontsize=8, color=_person_colour(person, threshold), parse_math=False, loc="left")
    for place, each in enumerate(axes[1:]):
        each.set_axis_off()
        if place < len(person.candidates):
            _draw_candidate(each, person.candidates[place], threshold)


def _draw_candidate(axes: Axes, candidate: Candidate, threshold: Threshold | None) -> None:
    face = candidate.entry.face
    axes.imshow(np.full((112, 112, 3), 221, np.uint8) if face is None else images.decode(face))
    accepted = None if threshold is None else threshold.accepts(candidate.similarity)
    title = f"{results.shorten_name(candidate.entry.name, 20)}\n{candidate.similarity:.3f}"
    axes.set_title(title, fontsize=7, color=_decision_colour(accepted) if accepted else _GREY, parse_math=False)
