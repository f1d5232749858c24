"""A network as a folder for Hugging Face's hub: weights, ONNX, what it was measured to do, and a card for people.

    publish_model("models/backbone.pt", "published", PublishOptions("my-faces"))

    published/
      config.json         network, preprocessing, training sets, digest
      model.safetensors   the weights
      model.onnx          the same network with its preprocessing, checked against torch
      scores/lfw/         distances of the pairs of a benchmark, which give thresholds, and the metrics of `facerec verify`
      README.md           the model card

Every command that takes a network takes this folder. The scores are distances alone, without names of photos or people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from facerec.core import FormatError, atomic_dir, parse_json, rate_name, write_json, write_text
from facerec.embedding import export
from facerec.recognition import thresholds
from facerec.reporting import cards
from facerec.reporting.formatting import (
    UNKNOWN,
    as_interval,
    as_percent,
    escape_markdown,
    facts_table,
    join_document,
    markdown_table,
    yaml_block,
)
from facerec.store import embeddings

_RESULT = "result.json"


@dataclass(frozen=True)
class PublishOptions:
    """`name` of the network on its card, `licence` of its weights in words, folder of the `scores` to take along."""

    name: str
    licence: str = ""
    scores: Path = thresholds.FOLDER


@dataclass(frozen=True)
class PublishedResult:
    """The pairs of a benchmark, measured with the network, and the metrics that `facerec verify` gave them."""

    measured: thresholds.Measurement
    metrics: dict[str, Any]


def publish_model(model: str | Path, out: str | Path, options: PublishOptions) -> dict[str, Any]:
    """Write the network `model` with its results into the folder `out`, which is replaced whole.

    `model` is a backbone.pt, published weights of a known layout, or a folder that holds one of them. Scores of other
    networks are left out. Returns the digest, the benchmarks, and the largest difference between torch and ONNX. Raises
    FormatError for a network that cannot be exported, ExportError where ONNX gives other embeddings.
    """
    found = thresholds.find_measurements(export.digest_before_export(model), options.scores)
    results = [PublishedResult(each, _read_metrics(path.with_name(_RESULT))) for path, each in found.items()]
    with atomic_dir(out) as folder:
        config = export.export_folder(model, folder)
        for path, measured in found.items():
            copy_scores(path, folder / "scores" / measured.benchmark, config["digest"])
        write_text(folder / "README.md", render_published_card(config, options, results))
    benchmarks = [each.measured.benchmark for each in results]
    return {"digest": config["digest"], "benchmarks": benchmarks, "max_difference": config["max_difference"]}


def copy_scores(path: Path, folder: Path, model: str | None = None) -> None:
    """Copy scores.parquet and the result.json beside it into `folder`, without the names of photos and people.

    With `model` they become those of the network with this digest, for a copy of the network in another form.
    """
    found = embeddings.read_scores(path)
    if found.measured is None or found.measured.origin is None:
        raise FormatError(f"{path} does not say which network it was measured with; embed and verify again.")
    origin = replace(found.measured.origin, model=model or found.measured.origin.model)
    table = pa.table({"same": found.same, "distance": found.distance})
    embeddings.write_scores(table, replace(found.measured, origin=origin), folder)
    write_json(folder / _RESULT, _read_metrics(path.with_name(_RESULT)))


def render_published_card(
    config: Mapping[str, Any], options: PublishOptions, results: Sequence[PublishedResult]
) -> str:
    """The card, README.md, with the metadata that the hub reads at its top.

    `config` has the values of config.json and the number of parameters, as `facerec.embedding.export.export_folder` gives them.
    """
    prepared, trained_on = config["preprocessing"], config["trained_on"]
    rendered = bool(trained_on) and all(each["rendered"] for each in trained_on)
    sets = [f"{each['name']}{' (rendered)' if each['rendered'] else ''}" for each in trained_on or ()]
    height, width = prepared["size"]
    facts = [
        ("Network", f"{escape_markdown(config['backbone']['name'])}, {config['parameters']:,} parameters"),
        ("Embedding", f"{config['backbone']['dim']} numbers, compared by cosine"),
        ("Input", f"RGB, {height}x{width}, aligned to {escape_markdown(prepared['template'])}"),
        ("Trained on", escape_markdown(", ".join(sets) or "unknown")),
        ("Licence", escape_markdown(options.licence or "not stated")),
        ("Digest", f"`{config['digest']}`"),
    ]
    usage = "$ facerec compare a.jpg b.jpg --model hf://OWNER/NAME"
    body = join_document(
        options.name,
        facts_table(facts),
        f"## Intended use\n\n{cards.USE}",
        f"## How to use it\n\n```console\n{usage}\n```\n\nThe path of this folder does as well as its address.",
        f"## Results\n\n{_results(results) or 'None are published with it.'}",
        *(f"## Thresholds on {escape_markdown(each.measured.benchmark)}\n\n{_rates(each)}" for each in results),
        f"## Preprocessing\n\n{yaml_block(prepared)}",
        f"## Limits\n\n{cards.RENDERED if rendered else ''}{cards.LIMITS}",
    )
    return f"---\n{yaml.safe_dump(_metadata(options, results), sort_keys=False, width=100)}---\n\n{body}"


def _results(results: Sequence[PublishedResult]) -> str:
    header = ("Benchmark", "Pairs", "Accuracy", "95 % interval", "TAR", "95 % interval", "Intervals over")
    rows = [_result(each) for each in results]
    return markdown_table(header, rows) if rows else ""


def _result(found: PublishedResult) -> tuple[str, ...]:
    metrics = found.metrics
    faces = ", rendered faces" if found.measured.rendered else ""
    tar = f"{as_percent(metrics['tar'], 1)} at FAR {rate_name(metrics['far_target'])}" if "tar" in metrics else UNKNOWN
    return (
        f"{escape_markdown(found.measured.benchmark)}{faces}",
        f"{metrics['pairs']:,}",
        f"{as_percent(metrics['accuracy'])}",
        as_interval(metrics["accuracy_low"], metrics["accuracy_high"]),
        tar,
        as_interval(metrics.get("tar_low"), metrics.get("tar_high")),
        escape_markdown(metrics["interval_over"]),
    )


def _rates(found: PublishedResult) -> str:
    header = ("False accept rate", "Threshold (cosine)", "95 % interval of the rate")
    told = (
        f"By {found.measured.different:,} pairs of different people. They hold for photos like those of the benchmark."
    )
    return f"{markdown_table(header, thresholds.describe_rates(found.measured))}\n\n{told}"


def _metadata(options: PublishOptions, results: Sequence[PublishedResult]) -> dict[str, Any]:
    """The front matter; see the hub's documentation of model cards."""
    licence = {"license": "other", "license_name": options.licence} if options.licence else {}
    measured = [
        {
            "task": {"type": "image-feature-extraction", "name": "Face verification"},
            "dataset": {"type": each.measured.benchmark, "name": each.measured.benchmark},
            "metrics": [{"type": "accuracy", "value": round(each.metrics["accuracy"], 6)}],
        }
        for each in results
    ]
    index = {"model-index": [{"name": options.name, "results": measured}]} if measured else {}
    tags = ["face-recognition", "face-verification", "onnx", "safetensors"]
    described = {"library_name": "facerec", "pipeline_tag": "image-feature-extraction", "tags": tags}
    return {**described, **licence, **index}


def _read_metrics(path: Path) -> dict[str, Any]:
    """The metrics that `facerec verify` wrote; FormatError where some of the card's are missing."""
    try:
        found = parse_json(path.read_bytes(), str(path))
    except FileNotFoundError as error:
        raise FormatError(
            f"{path} is missing, which `facerec verify` writes beside the scores; verify again."
        ) from error
    needed = {"pairs", "accuracy", "accuracy_low", "accuracy_high", "interval_over"}
    if not isinstance(found, dict) or not needed <= found.keys():
        raise FormatError(f"{path} is no result of `facerec verify`; verify again.")
    return found
