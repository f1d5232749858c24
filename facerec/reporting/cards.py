"""The data card: what a set of the catalogue is, under which terms, what was asked for and what was found in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from facerec.catalog.entries import CatalogEntry, SetCounts
from facerec.imaging import alignment
from facerec.params import Params
from facerec.params.faces import DETECTOR_OPTIONS
from facerec.reporting import formatting
from facerec.reporting.formatting import (
    escape_markdown,
    facts_table,
    join_document,
    link_markdown,
    markdown_table,
    yaml_block,
)

_SET_KINDS = {
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
    return join_document(
        f"Data card: {entry.name}"
        if entry.kind in ("photos", "pack", "lists")
        else f"Model card: {entry.name}",
        escape_markdown(entry.title),
        facts_table([*_origin(entry), *_asked(entry, params), *_held(entry, found)]),
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
        ("Kind", f"{_SET_KINDS[entry.kind]}, {made}"),
        ("Licence", escape_markdown(entry.licence)),
        ("Terms", escape_markdown(entry.terms)),
        ("Pictures", shown if people else ""),
        ("Citation", escape_markdown(entry.citation)),
        ("Homepage", link_markdown(entry.homepage)),
        ("Published as", _counts(entry.published)),
    ]


def _asked(entry: CatalogEntry, params: Params) -> list[tuple[str, str]]:
    """What this run wants of the set, and what for."""
    options = {**entry.options, **params.download.get(entry.name, {})}
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
        ("Options", escape_markdown(", ".join(f"{key}: {value}" for key, value in options.items()))),
        ("Used as", escape_markdown(", ".join(uses))),
    ]


def _held(entry: CatalogEntry, found: Mapping[str, Any]) -> list[tuple[str, str]]:
    held = found.get("download", {}).get(entry.name)
    if held is None:
        return []
    counts = SetCounts(**{name: held.get(name) or None for name in ("photos", "identities", "pairs")})
    return [
        ("Holds", _counts(counts)),
        ("Content", f"{formatting.as_bytes(held['bytes'])}, sha256 of all files `{held['sha256']}`"),
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
        ("Detector", escape_markdown(f"{params.detect.detector} ({', '.join(options)})")),
        ("Sides of the photos", _sides(detected["shortest_side"], detected["longest_side"])),
        ("Photos with a face", f"{detected['with_face']:,} of {detected['photos']:,}"),
        ("Photos with several", f"{detected['several_faces']:,}"),
        ("Photos that cannot be decoded", f"{detected['undecodable']:,}"),
        ("Faces kept", f"{aligned['faces']:,} of {_people(aligned['identities'])}, {height}x{width}"),
        ("By rung", escape_markdown(rungs)),
        (
            "Photos left out",
            f"{aligned['failures']:,}" + (f": {escape_markdown(reasons)}" if reasons else ""),
        ),
        ("Score, least and 5th percentile", _both(aligned, "score_min", "score_p05")),
        ("Distance from the template, median and 95th percentile", _residuals(aligned)),
    ]
    return f"## Faces\n\n{facts_table(rows)}"


def _people(identities: int) -> str:
    return f"{identities:,} identities" if identities else "unknown people"


def _sides(shortest: int, longest: int) -> str:
    return f"{shortest:,} pixels" if shortest == longest else f"{shortest:,} to {longest:,} pixels"


def _both(values: Mapping[str, Any], first: str, second: str) -> str:
    return f"{formatting.as_number(values.get(first))}, {formatting.as_number(values.get(second))}"


def _residuals(aligned: Mapping[str, Any]) -> str:
    return f"{_both(aligned, 'residual_median', 'residual_p95')} pixels"


def _members(images: Mapping[str, int]) -> str:
    if not images:
        return ""
    rows = ((escape_markdown(name), f"{count:,}") for name, count in images.items())
    return f"## Members\n\n{markdown_table(('Member', 'Images'), rows)}"


def _input(entry: CatalogEntry) -> str:
    if entry.preprocessing is None:
        return ""
    return f"## Preprocessing\n\n{yaml_block(entry.preprocessing.model_dump())}"


USE = (
    "Maps an aligned face to an embedding, so that two faces can be compared and a person can be looked for among\n"
    "others. It is there to reproduce and to compare experiments. It is not there to decide anything about a person:\n"
    "every threshold has errors of both kinds, and they are not the same for all people."
)
LIMITS = (
    "A network knows the faces it was trained on. Measure it on faces like those it is meant for, with the consent of\n"
    "the people shown, and by groups of people: nothing on this card says how errors differ between them."
)
RENDERED = "It has seen rendered faces only: its results are no evidence about real people.\n"


def render_model_card(
    name: str,
    known: Mapping[str, Any],
    training: Mapping[str, Any],
    recipe: Mapping[str, Any],
    sets: Sequence[str],
    results: str = "",
    rendered: bool = False,
) -> str:
    """The card of network `name` as Markdown.

    `known` is what `facerec.embedding.export.export_facts` says of its files, `training` are the metrics of the stage train, `recipe` is
    params.train, `sets` names those it was trained on, `results` is Markdown, and `rendered` says that nobody in the
    sets exists.
    """
    height, width = known["input_size"]
    template = escape_markdown(known["preprocessing"]["template"])
    rows = [
        ("Backbone", f"{escape_markdown(known['backbone'])}, {known['parameters']:,} parameters"),
        ("Embedding", f"{known['dim']} numbers, compared by cosine"),
        ("Input", f"RGB, {height}x{width}, aligned to {template}"),
        *(
            (file, f"{formatting.as_bytes(facts['bytes'])}, sha256 `{facts['sha256']}`")
            for file, facts in known["files"].items()
        ),
        ("Digest of the network", f"`{known['digest']}`, as in its embeddings and scores"),
        ("Torch against ONNX", f"largest difference {known['max_difference']:.1g}"),
    ]
    return join_document(
        f"Model card: {name}",
        facts_table(rows),
        f"## Intended use\n\n{USE}",
        f"## Training\n\n{_training(training, sets)}",
        f"## Results\n\n{results or f'They are in reports/cards/models/{name}.md once the benchmarks have run.'}",
        f"## Preprocessing\n\n{yaml_block(known['preprocessing'])}",
        f"## Recipe\n\n{yaml_block(recipe)}",
        f"## Limits\n\n{RENDERED if rendered else ''}{LIMITS}",
    )


def _training(training: Mapping[str, Any], sets: Sequence[str]) -> str:
    return facts_table(
        [
            *(("Set", escape_markdown(each)) for each in sets),
            ("Faces", f"{training['images']:,} of {training['identities']:,} identities"),
            ("Epochs", f"{training['epochs']:,}"),
            ("Loss of the last epoch", formatting.as_number(training["train_loss"])),
            (
                "Faces nearest to their own class",
                f"{formatting.as_percent(training['train_accuracy'])} in the last epoch",
            ),
            ("Best of those judged on the way", _best(training)),
        ]
    )


def _best(training: Mapping[str, Any]) -> str:
    if "best_step" not in training:
        return ""
    return (
        f"step {training['best_step']:,}, mean accuracy {formatting.as_percent(training['best_validation'])}"
    )
