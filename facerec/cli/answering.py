"""How the answers of compare and search are shown: tables and sentences for people, JSON, pictures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from facerec.recognition import Recogniser, drawing, results
from facerec.recognition.decisions import squared_distance
from facerec.recognition.faces import PhotoFace, Portrait
from facerec.recognition.results import Identified, PhotoComparison, Search
from facerec.recognition.thresholds import Threshold

check_picture = drawing.check_name


def show_comparison(found: PhotoComparison, by: Recogniser, picture: Path | None, as_json: bool) -> None:
    """Two photos compared."""
    if picture is not None:
        drawing.save(drawing.comparison(found), picture)
    if as_json:
        _print(_comparison(found) | _tools(by))
        return
    table = Table(title="Comparison", title_justify="left", show_header=False)
    table.add_column(overflow="fold", ratio=1)
    table.add_column(ratio=1)
    for portrait in (found.first, found.second):
        table.add_row(escape(results.short(portrait.name)), _chosen(portrait))
    table.add_row("network, detector", f"{escape(by.name)}, {by.finder.detector.name}")
    table.add_row("similarity", f"{found.similarity:.3f} (squared distance {found.distance:.3f})")
    if found.threshold is not None:
        table.add_row("threshold", _known(found.threshold))
    _show(table, results.match_verdict(found), found.caution)


def show_search(found: Search, by: Recogniser, picture: Path | None, as_json: bool) -> None:
    """A photo searched for people of a gallery."""
    if picture is not None:
        drawing.save(drawing.search(found), picture)
    if as_json:
        _print(_search(found) | _tools(by))
        return
    table = Table(title=f"Faces in {escape(found.name)}", title_justify="left")
    for column in ("face", "who", "most like"):
        table.add_column(column, overflow="fold")
    table.add_column("similarity", justify="right")
    table.add_column("their photo", overflow="fold")
    for number, person in enumerate(found.people):
        who = person.name or ("not decided" if found.threshold is None else results.UNKNOWN)
        for place, each in enumerate(person.candidates):
            first = (str(number), escape(who)) if place == 0 else ("", "")
            accepted = found.threshold is not None and found.threshold.accepts(each.similarity)
            likeness = f"{each.similarity:.3f}{'*' if accepted else ' '}"
            table.add_row(
                *first, escape(each.entry.name), likeness, escape(results.short(each.entry.source, 26))
            )
        table.add_section()
    known = "" if found.threshold is None else f"threshold (* above it) {_known(found.threshold)}"
    used = f"network {by.name}, detector {by.finder.detector.name}"
    _show(table, results.rates(found), known, used, found.caution)


def _show(table: Table, *sentences: str) -> None:
    """The table, then what was decided and what that is worth."""
    console = Console(stderr=True)
    console.print(table)
    for sentence in filter(None, sentences):
        console.print(results.sentences(sentence), markup=False, highlight=False, soft_wrap=True)


def _known(threshold: Threshold) -> str:
    return f"{threshold.similarity:.3f}; {results.reliability(threshold)}"


def _chosen(portrait: Portrait) -> str:
    """How many faces a photo has and which one was taken."""
    face, count = portrait.face, len(portrait.found)
    how = "" if face.fallback == "detector" else f", found by the fallback {face.fallback}"
    score = "" if face.score is None else f", score {face.score:.3f}"
    faces = "no face found" if face.box is None else "1 face" if count == 1 else f"one of {count} faces"
    return f"{faces}{score}{how}"


def _print(values: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(values, sort_keys=True, allow_nan=False) + "\n")


def _comparison(found: PhotoComparison) -> dict[str, Any]:
    photos = [
        {"photo": portrait.name, "faces": len(portrait.found), **_face(portrait.face)}
        for portrait in (found.first, found.second)
    ]
    likeness = {"similarity": found.similarity, "distance": found.distance, "same": found.same}
    return {
        "photos": photos,
        **likeness,
        **_grounds(found.threshold, results.match_verdict(found), found.caution),
    }


def _search(found: Search) -> dict[str, Any]:
    grounds = _grounds(found.threshold, results.rates(found), found.caution)
    people = [_identified(person) for person in found.people]
    return {
        "photo": found.name,
        "faces": people,
        "comparisons": found.comparisons,
        "fpir": found.fpir,
        **grounds,
    }


def _identified(person: Identified) -> dict[str, Any]:
    candidates = [
        {
            "name": each.entry.name,
            "photo": each.entry.source,
            "similarity": each.similarity,
            "distance": squared_distance(each.similarity),
        }
        for each in person.candidates
    ]
    return {**_face(person.face), "name": person.name, "candidates": candidates}


def _face(face: PhotoFace) -> dict[str, Any]:
    """Plain values of a face; pixels of the upright photo."""
    return {
        "box": None if face.box is None else [round(float(value), 2) for value in face.box],
        "landmarks": None
        if face.landmarks is None
        else [[round(float(value), 2) for value in point] for point in face.landmarks],
        "score": None if face.score is None else round(face.score, 5),
        "rung": face.fallback,
    }


def _tools(by: Recogniser) -> dict[str, Any]:
    return {"model": by.name, "digest": by.embedder.digest, "detector": by.finder.detector.name}


def _grounds(threshold: Threshold | None, decision: str, caution: str) -> dict[str, Any]:
    """What an answer rests on, for programs, and the sentences people get."""
    known = None
    if threshold is not None:
        point = threshold.point
        known = {
            "similarity": threshold.similarity,
            "distance": threshold.distance,
            "far": point.far,
            "benchmark": threshold.measured.benchmark,
            "synthetic": threshold.measured.rendered,
            "different_pairs": point.pairs,
            "different_accepted": point.accepted,
            "far_low": point.low,
            "far_high": point.high,
            "tar": threshold.tar,
        }
    return {
        "threshold": known,
        "decision": results.sentences(decision),
        "caution": results.sentences(caution),
    }
