"""Cards in Markdown, made of what the stages measured: of a network and its training, and of a set of the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from facerec.params import DETECTOR_OPTIONS
from facerec.reporting import formatting
from facerec.reporting.formatting import as_number, as_percent, escape_markdown, facts_table, yaml_block

if TYPE_CHECKING:
    from facerec.catalog.entries import CatalogEntry
    from facerec.params import Params

USE = (
    "Maps an aligned face to an embedding, so that two faces can be compared and a person can be looked for among\n"
    "others. It is there to reproduce and to compare experiments. It is not there to decide anything about a person:\n"
    "every threshold has errors of both kinds, and they are not the same for all people."
)
"""What a network is for, on its card."""
LIMITS = (
    "A network knows the faces it was trained on. Measure it on faces like those it is meant for, with the consent of\n"
    "the people shown, and by groups of people: nothing on this card says how errors differ between them."
)
"""What a card does not say."""
RENDERED = "It has seen rendered faces only: its results are no evidence about real people.\n"
"""Stands before `LIMITS` where it is so."""
_SET_KINDS = {
    "photos": "photos",
    "pack": "pack of aligned faces",
    "model": "published network",
    "weights": "weights of a detector",
    "lists": "lists",
}

Rows = list[tuple[str, str]]
"""Names and values in Markdown; a row with an empty value is not shown."""


def render_model_card(
    name: str,
    export: Mapping[str, Any],
    training: Mapping[str, Any],
    recipe: Mapping[str, Any],
    sets: Sequence[str],
    results: str = "",
    rendered: bool = False,
) -> str:
    """The card of a network that this run trained; the stage export writes it without results, report with them.

    Args:
        name: of the network.
        export: `facerec.embedding.export.describe_export` of its files.
        training: metrics of the stage train.
        recipe: params.train.
        sets: names of the training sets.
        results: Markdown.
        rendered: whether all training faces are rendered.
    """
    height, width = export["input_size"]
    template = escape_markdown(export["preprocessing"]["template"])
    facts = [
        ("Backbone", f"{escape_markdown(export['backbone'])}, {export['parameters']:,} parameters"),
        ("Embedding", f"{export['dim']} numbers, compared by cosine"),
        ("Input", f"RGB, {height}x{width}, aligned to {template}"),
        *((file, _content(each, "sha256")) for file, each in export["files"].items()),
        ("Digest of the network", f"`{export['digest']}`, as in its embeddings and scores"),
        ("Torch against ONNX", f"no value of an embedding of length 1 differs by more than {export['tolerance']:g}"),
    ]
    return formatting.join_document(
        f"Model card: {name}",
        facts_table(facts),
        f"## Intended use\n\n{USE}",
        f"## Training\n\n{facts_table(_training(training, sets))}",
        f"## Results\n\n{results or f'They are in reports/cards/models/{name}.md once the benchmarks have run.'}",
        f"## Preprocessing\n\n{yaml_block(export['preprocessing'])}",
        f"## Recipe\n\n{yaml_block(recipe)}",
        f"## Limits\n\n{RENDERED if rendered else ''}{LIMITS}",
    )


def _training(training: Mapping[str, Any], sets: Sequence[str]) -> Rows:
    best = ""
    if "best_step" in training:
        best = f"step {training['best_step']:,}, mean accuracy {as_percent(training['best_validation'])}"
    return [
        *(("Set", escape_markdown(each)) for each in sets),
        ("Faces", f"{training['images']:,} of {training['identities']:,} identities"),
        ("Epochs", f"{training['epochs']:,}"),
        ("Loss of the last epoch", as_number(training["train_loss"])),
        ("Faces nearest to their own class", f"{as_percent(training['train_accuracy'])} in the last epoch"),
        ("Best of those judged on the way", best),
    ]


def render_data_card(entry: CatalogEntry, params: Params, found: Mapping[str, Any], results: str = "") -> str:
    """The card of a set, or of a published network or weight file, of the catalog.

    Args:
        entry: of the catalog.
        params: of the run.
        found: metrics of the run, as `facerec.reporting.summary.collect_metrics` nests them.
        results: Markdown, for a network.
    """
    kind = "Model" if entry.kind in ("model", "weights") else "Data"
    members = found.get("unpack", {}).get(entry.name, {})
    counts = [(escape_markdown(name), f"{count:,}") for name, count in members.items()]
    detected, aligned, held = (found.get(stage, {}).get(entry.name) for stage in ("detect", "align", "download"))
    faces = facts_table(_faces(params, entry.name, detected, aligned)) if detected and aligned else ""
    return formatting.join_document(
        f"{kind} card: {entry.name}",
        escape_markdown(entry.title),
        facts_table([*_origin(entry), *_use(entry, params), *(_holdings(held) if held else [])]),
        f"## Faces\n\n{faces}" if faces else "",
        f"## Members\n\n{formatting.markdown_table(('Member', 'Images'), counts)}" if members else "",
        f"## Preprocessing\n\n{yaml_block(entry.preprocessing.to_dict())}" if entry.preprocessing else "",
        f"## Results\n\n{results}" if results else "",
    )


def _origin(entry: CatalogEntry) -> Rows:
    made = "rendered here; its people do not exist" if entry.generator else "published"
    shown = "may be shown in reports" if entry.shown else "not shown in reports"
    return [
        ("Kind", f"{_SET_KINDS[entry.kind]}, {made}"),
        ("Licence", escape_markdown(entry.licence)),
        ("Terms", escape_markdown(entry.terms)),
        ("Pictures", shown if entry.kind in ("photos", "pack") else ""),
        ("Citation", escape_markdown(entry.citation)),
        ("Homepage", formatting.link_markdown(entry.homepage)),
        ("Published as", _counts(entry.published.model_dump())),
    ]


def _use(entry: CatalogEntry, params: Params) -> Rows:
    """How this run generates the set and uses it."""
    options = {**entry.options, **params.entries.get(entry.name, {})}
    uses = [f"{params.photos[entry.name]} photos"] if entry.name in params.photos else []
    uses += ["pack"] if entry.name in params.packs else []
    for name, benchmark in params.benchmarks.items():
        uses += [f"benchmark {name}"] if benchmark.faces.split("/")[0] == entry.name else []
    for name, task in params.identification.items():
        roles = {"probes": task.probes, "distractors": task.distractors}
        uses += [f"{role} of {name}" for role, faces in roles.items() if faces == entry.name]
    return [("Options", _list(f"{key}: {value}" for key, value in options.items())), ("Used as", _list(uses))]


def _holdings(held: Mapping[str, Any]) -> Rows:
    counts = _counts({name: held.get(name) or None for name in ("photos", "identities", "pairs")})
    return [("Holds", counts), ("Content", _content(held, "sha256 of all files"))]


def _content(held: Mapping[str, Any], digest: str) -> str:
    return f"{formatting.as_bytes(held['bytes'])}, {digest} `{held['sha256']}`"


def _counts(counts: Mapping[str, int | None]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count is not None)


def _list(words: Iterable[str]) -> str:
    return escape_markdown(", ".join(words))


def _faces(params: Params, name: str, detected: Mapping[str, Any], aligned: Mapping[str, Any]) -> Rows:
    """What the stages detect and align found in the photo set `name`."""
    size, options = params.align.size, params.detect_of(name).model_dump(mode="json")
    height, width = (size, size) if isinstance(size, int) else size
    given = ", ".join(f"{key}: {options[key]}" for key in DETECTOR_OPTIONS[params.detect.detector])
    reasons = _list(f"{reason} {count:,}" for reason, count in aligned.get("reasons", {}).items())
    people = f"{aligned['identities']:,} identities" if aligned["identities"] else "unknown people"
    shortest, longest = detected["shortest_side"], detected["longest_side"]
    sides = f"{shortest:,}" if shortest == longest else f"{shortest:,} to {longest:,}"
    spread = ("score_min", "score_p05", "residual_median", "residual_p95")
    least, low, residual, most = (as_number(aligned.get(key)) for key in spread)
    return [
        ("Detector", escape_markdown(f"{params.detect.detector} ({given})")),
        ("Sides of the photos", f"{sides} pixels"),
        ("Photos with a face", f"{detected['with_face']:,} of {detected['photos']:,}"),
        ("Photos with several", f"{detected['several_faces']:,}"),
        ("Photos that cannot be decoded", f"{detected['undecodable']:,}"),
        ("Faces kept", f"{aligned['faces']:,} of {people}, {height}x{width}"),
        ("By fallback", _list(f"{name} {count:,}" for name, count in aligned["rungs"].items())),
        ("Photos left out", f"{aligned['failures']:,}" + (f": {reasons}" if reasons else "")),
        ("Score, least and 5th percentile", f"{least}, {low}"),
        ("Distance from the template, median and 95th percentile", f"{residual}, {most} pixels"),
    ]
