"""Pictures of results: two photos compared, and a photo searched for people of a gallery.

They show mistakes that numbers hide: the wrong face chosen, misplaced landmarks, an obviously wrong match.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle

from facerec.core import ParamsError, shown, visible
from facerec.imaging import images
from facerec.recognition.results import UNKNOWN, PhotoComparison, Pixels, Portrait, SearchResult, shorten_name
from facerec.reporting import figures

SUFFIXES = (".png", ".svg")
_INK, _GREY, _LIGHT = "#222222", "#6b6b6b", "#dddddd"
_SAME, _DIFFERENT, _OPEN = figures.COLOURS[0], figures.COLOURS[1], figures.COLOURS[5]
_LANDMARKS = ("#ff0000", "#00ff00", "#3b6bff", "#ffff00", "#ff00ff")
"""The colours of `facerec.detection.draw_faces`, so that a swapped order is easy to see."""
_BINS = np.linspace(-1, 1, 81)
_SHOWN = 3
"""Candidates of a face in the picture of a search."""
_NO_CROP = np.full((112, 112, 3), 221, np.uint8)


def check_picture_name(path: Path) -> None:
    """Raise ParamsError unless the suffix is that of a picture."""
    if path.suffix not in SUFFIXES:
        raise ParamsError(f"a picture is written as {' or '.join(SUFFIXES)}, not {path.name}.")


def save_picture(figure: Figure, path: Path) -> None:
    """Write the picture atomically, in the format of its suffix."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks show as boxes
        figures.save_figure(figure, path)


@style.context("default")
def draw_comparison(found: PhotoComparison) -> Figure:
    """Both photos with the chosen faces, both crops, and the similarity beside those of the benchmark's pairs."""
    figure = Figure(figsize=(9, 6.6), layout="constrained", facecolor="white")
    decision = {True: "Same person", False: "Different people", None: "Not decided"}[found.same]
    title, colour = f"{decision}, similarity {found.similarity:.3f}", _decision_colour(found.same)
    figure.suptitle(title, fontsize=15, fontweight="bold", color=_INK if found.same is None else colour)
    above, below = _split(figure, 2, 1, height_ratios=(3.2, 2.2))
    left, right = _split(below, 1, 2, width_ratios=(2, 3.4))
    pairs = zip(above.subplots(1, 2), left.subplots(1, 2), (found.first, found.second), strict=True)
    for photo, crop, portrait in pairs:
        _draw_portrait(photo, portrait, colour)
        _show_pixels(crop, images.decode(portrait.face.crop), "")
    left.supxlabel("as the network sees them", fontsize=8, color=_GREY)
    _draw_scale(right.subplots(), found, colour)
    _write_footnote(figure, found)
    return figure


@style.context("default")
def draw_search(found: SearchResult) -> Figure:
    """The photo with names at its faces, and beside it every face with its best candidates of the gallery."""
    rows = len(found.people)
    figure = Figure(figsize=(10, max(4.6, 1.25 * rows + 1)), layout="constrained", facecolor="white")
    left, right = _split(figure, 1, 2)
    photo = left.subplots()
    _show_pixels(photo, found.pixels, shorten_name(found.name))
    right.suptitle("each face and its most similar people of the gallery", fontsize=9, color=_GREY)
    shown = min(_SHOWN, max(len(person.candidates) for person in found.people))
    grid = right.subplots(rows, 1 + shown, squeeze=False)
    for number, (line, person) in enumerate(zip(grid, found.people, strict=True)):
        colour = _decision_colour(None if found.threshold is None else person.name is not None)
        name = shorten_name(person.name, 24) if person.name else "" if found.threshold is None else UNKNOWN
        if person.face.box is not None:
            _draw_box(photo, person.face.box, colour, 2.2)
            _write_name(photo, person.face.box, f"{number} {name}", colour)
        _show_pixels(line[0], images.decode(person.face.crop), f"{number} {name}", fontsize=8, color=colour, loc="left")
        for axes in line[1:]:
            axes.set_axis_off()
        for axes, each in zip(line[1:], person.candidates, strict=False):
            accepted = found.threshold is not None and found.threshold.accepts(each.similarity)
            title = f"{shorten_name(each.entry.name, 20)}\n{each.similarity:.3f}"
            crop = _NO_CROP if each.entry.face is None else images.decode(each.entry.face)
            _show_pixels(axes, crop, title, fontsize=7, color=_SAME if accepted else _GREY)
    _write_footnote(figure, found)
    return figure


def _split(figure: Figure | SubFigure, rows: int, columns: int, **ratios: Any) -> list[SubFigure]:
    return list(figure.subfigures(rows, columns, squeeze=False, **ratios).ravel())


def _decision_colour(accepted: bool | None) -> str:
    return _OPEN if accepted is None else _SAME if accepted else _DIFFERENT


def _write_footnote(figure: Figure, found: PhotoComparison | SearchResult) -> None:
    lines = filter(None, (found.decision, found.caution))
    text = "\n".join(f"{line[0].upper()}{line[1:]}." for line in lines)
    figure.supxlabel(visible(text), fontsize=8, color=_GREY, parse_math=False, wrap=True)


def _show_pixels(axes: Axes, pixels: Pixels, title: str, **style: Any) -> None:
    axes.imshow(pixels)
    axes.set_axis_off()
    axes.set_title(visible(title), **{"fontsize": 9, "color": _INK, "parse_math": False, **style})


def _draw_portrait(axes: Axes, portrait: Portrait, colour: str) -> None:
    count, face = max(1, len(portrait.found)), portrait.face
    _show_pixels(axes, portrait.pixels, f"{shorten_name(portrait.name)} · {count} face{'s' * (count > 1)}")
    for box in portrait.found.boxes:
        _draw_box(axes, box, _LIGHT, 0.8)
    if face.box is not None:
        _draw_box(axes, face.box, colour, 2.2)
    if face.landmarks is not None:
        x, y = face.landmarks.T
        axes.scatter(x, y, s=14, c=_LANDMARKS, edgecolors="black", linewidths=0.5)


def _draw_box(axes: Axes, box: np.ndarray, colour: str, width: float) -> None:
    x1, y1, x2, y2 = (float(value) for value in box)
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=width))


def _write_name(axes: Axes, box: np.ndarray, name: str, colour: str) -> None:
    """A name above the left corner of its box."""
    frame = {"facecolor": colour, "edgecolor": "none", "pad": 1.5}
    x, y = float(box[0]), float(box[1])
    axes.text(x, y, shown(name), fontsize=8, color="white", va="bottom", parse_math=False, clip_on=True, bbox=frame)


def _draw_scale(axes: Axes, found: PhotoComparison, colour: str) -> None:
    """The similarity on a scale with those of the benchmark's pairs."""
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.set_yticks([])
    axes.tick_params(labelsize=8, colors=_GREY)
    axes.set_xlabel("cosine similarity", fontsize=8, color=_GREY)
    lowest = min(-0.2, found.similarity)
    if found.threshold is not None:
        measured = found.threshold.measured
        similarity = 1 - measured.distances / 2
        lowest = min(lowest, similarity.min(initial=0))
        for label, chosen, shade in (("same", measured.same, _SAME), ("different", ~measured.same, _DIFFERENT)):
            counts = np.histogram(similarity[chosen], _BINS)[0]
            name = figures.plain_label(f"{counts.sum():,} {label} pairs of {measured.benchmark}")
            axes.stairs(counts / max(counts.sum(), 1), _BINS, fill=True, color=shade, alpha=0.35, label=name)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.22), ncols=2, fontsize=8, frameon=False)
        axes.axvline(found.threshold.similarity, color=_INK, linewidth=1.2, linestyle="--")
    top = max(axes.get_ylim()[1], 0.1) * 1.45
    axes.set(xlim=(lowest - 0.05, 1.05), ylim=(0, top))
    axes.plot([found.similarity] * 2, [0, top * 0.72], color=colour, linewidth=2.5)
    axes.plot(found.similarity, top * 0.72, "v", color=colour, markersize=9)
    _write_label(axes, found.similarity, top * 0.78, f"this pair {found.similarity:.3f}", colour)
    if found.threshold is not None:
        _write_label(axes, found.threshold.similarity, top * 0.9, f"threshold {found.threshold.similarity:.3f}", _INK)


def _write_label(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    """Text beside x, on the side with more room."""
    right = x < sum(axes.get_xlim()) / 2
    text, side = (f" {text}", "left") if right else (f"{text} ", "right")
    frame = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1}
    axes.text(x, y, text, ha=side, fontsize=9, fontweight="bold", color=colour, bbox=frame)
