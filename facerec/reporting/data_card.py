"""The data card: what a set of the catalogue is, under which terms, what was asked for and what was found in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facerec.catalog.entries import CatalogEntry, SetCounts
from facerec.imaging import alignment
from facerec.params import Params
from facerec.params.faces import DETECTOR_OPTIONS
from facerec.reporting import wording
from facerec.reporting.wording import document, escaped, facts, linked, settings, table

_KINDS = {
    "photos": "photos",
    "pack": "pack of aligned faces",
    "model": "published network",
    "weights": "weights of a detector",
    "lists": "lists",
}


def render_data_card(entry: CatalogEntry, params: Params, found: Mapping[str, Any], results: str = "") -> str:
    """The card of `entry` in the run of `params` as Markdown.

    `found` are the metrics of the run, as `facerec.reporting.summary.collect_metrics` nests them; `results` is Markdown, for
    a model.
    """
    return document(
        f"Data card: {entry.name}"
        if entry.kind in ("photos", "pack", "lists")
        else f"Model card: {entry.name}",
        escaped(entry.title),
        facts([*_origin(entry), *_asked(entry, params), *_held(entry, found)]),
        _faces(entry.name, params, found),
        _members(found.get("unpack", {}).get(entry.name, {})),
        _input(entry),
        f"## Results\n\n{results}" if results else "",
    )


def _origin(entry: CatalogEntry) -> list[tuple[str, str]]:
    made = "rendered here; nobody in it exists" if entry.generator else "published"
    shown = "may be shown in reports" if entry.shown else "not shown in reports"
    people = entry.kind in ("photos", "pack")
    return [
        ("Kind", f"{_KINDS[entry.kind]}, {made}"),
        ("Licence", escaped(entry.licence)),
        ("Terms", escaped(entry.terms)),
        ("Pictures", shown if people else ""),
        ("Citation", escaped(entry.citation)),
        ("Homepage", linked(entry.homepage)),
        ("Published as", _counts(entry.published)),
    ]


def _asked(entry: CatalogEntry, params: Params) -> list[tuple[str, str]]:
    """What this run wants of the set, and what for."""
    options = {**entry.options, **params.entries.get(entry.name, {})}
    uses = [f"{params.photos[entry.name]} photos"] if entry.name in params.photos else []
    uses += ["pack"] if entry.name in params.packs else []
    uses += [
        f"benchmark {name}"
        for name, each in params.benchmarks.items()
        if each.faces.split("/")[0] == entry.name
    ]
    for name, task in params.identification.items():
        roles = {"probes": task.probes, "distractors": task.distractors}
        uses += [f"{role} of {name}" for role, faces in roles.items() if faces == entry.name]
    return [
        ("Options", escaped(", ".join(f"{key}: {value}" for key, value in options.items()))),
        ("Used as", escaped(", ".join(uses))),
    ]


def _held(entry: CatalogEntry, found: Mapping[str, Any]) -> list[tuple[str, str]]:
    held = found.get("download", {}).get(entry.name)
    if held is None:
        return []
    counts = SetCounts(**{name: held.get(name) or None for name in ("photos", "identities", "pairs")})
    return [
        ("Holds", _counts(counts)),
        ("Content", f"{wording.size(held['bytes'])}, sha256 of all files `{held['sha256']}`"),
    ]


def _counts(counts: SetCounts) -> str:
    known = counts.model_dump(exclude_none=True)
    return ", ".join(f"{count:,} {name}" for name, count in known.items())


def _faces(name: str, params: Params, found: Mapping[str, Any]) -> str:
    """What was detected and aligned, for a photo set."""
    detected, aligned = (found.get(group, {}).get(name) for group in ("detect", "align"))
    if detected is None or aligned is None:
        return ""
    height, width = alignment.shape_of(params.align.size)
    rungs = ", ".join(f"{rung} {count:,}" for rung, count in aligned["rungs"].items())
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in aligned.get("reasons", {}).items())
    settings = params.detect.model_dump(mode="json")
    options = [f"{key}: {settings[key]}" for key in DETECTOR_OPTIONS[params.detect.detector]]
    rows = [
        ("Detector", escaped(f"{params.detect.detector} ({', '.join(options)})")),
        ("Sides of the photos", _sides(detected["shortest_side"], detected["longest_side"])),
        ("Photos with a face", f"{detected['with_face']:,} of {detected['photos']:,}"),
        ("Photos with several", f"{detected['several_faces']:,}"),
        ("Photos that cannot be decoded", f"{detected['undecodable']:,}"),
        ("Faces kept", f"{aligned['faces']:,} of {_people(aligned['identities'])}, {height}x{width}"),
        ("By rung", escaped(rungs)),
        ("Photos left out", f"{aligned['failures']:,}" + (f": {escaped(reasons)}" if reasons else "")),
        ("Score, least and 5th percentile", _both(aligned, "score_min", "score_p05")),
        ("Distance from the template, median and 95th percentile", _residuals(aligned)),
    ]
    return f"## Faces\n\n{facts(rows)}"


def _people(identities: int) -> str:
    return f"{identities:,} identities" if identities else "unknown people"


def _sides(shortest: int, longest: int) -> str:
    return f"{shortest:,} pixels" if shortest == longest else f"{shortest:,} to {longest:,} pixels"


def _both(values: Mapping[str, Any], first: str, second: str) -> str:
    return f"{wording.number(values.get(first))}, {wording.number(values.get(second))}"


def _residuals(aligned: Mapping[str, Any]) -> str:
    return f"{_both(aligned, 'residual_median', 'residual_p95')} pixels"


def _members(images: Mapping[str, int]) -> str:
    if not images:
        return ""
    rows = ((escaped(name), f"{count:,}") for name, count in images.items())
    return f"## Members\n\n{table(('Member', 'Images'), rows)}"


def _input(entry: CatalogEntry) -> str:
    if entry.preprocessing is None:
        return ""
    return f"## Preprocessing\n\n{settings(entry.preprocessing.model_dump())}"
