"""The model card: what a network is, what it was trained on and how it is fed, from facts alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from facerec.backbones import storage


def write(
    name: str,
    weights: Path,
    onnx: Path,
    recipe: Mapping[str, Any],
    sets: Sequence[str],
    max_difference: float,
) -> str:
    """The card of the network in `weights` (backbone.pt) and its export `onnx`, as Markdown.

    `recipe` is params.train, `sets` the training sets, `max_difference` the largest difference between
    an embedding value in torch and in ONNX.
    """
    stored = storage.load(weights)
    count = sum(parameter.numel() for parameter in stored.network.parameters())
    height, width = stored.preprocessing.input_size
    rows = [
        ("Backbone", f"{stored.name}, {count:,} parameters"),
        ("Embedding", f"{stored.dim} numbers, compared by cosine"),
        ("Input", f"RGB, {height}x{width}, aligned to {stored.preprocessing.template}"),
        ("Training sets", ", ".join(sets)),
        ("Torch against ONNX", f"largest difference {max_difference:.1g}"),
        *(
            (path.name, f"sha256 `{hashlib.sha256(path.read_bytes()).hexdigest()}`")
            for path in (weights, onnx)
        ),
    ]
    table = "\n".join(f"| {key} | {value} |" for key, value in rows)
    return (
        f"# Model card: {name}\n\n| | |\n|---|---|\n{table}\n\n"
        f"## Preprocessing\n\n```yaml\n{_yaml(stored.preprocessing.to_dict())}```\n\n"
        f"## Recipe\n\n```yaml\n{_yaml(recipe)}```\n\n"
        "## Limits\n\nA network knows the faces it was trained on. Measure it on faces like those it is meant\n"
        "for, with the consent of the people shown, before it decides anything about anyone.\n"
    )


def _yaml(values: Mapping[str, Any]) -> str:
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    return yaml.safe_dump(plain, sort_keys=False, default_flow_style=None)
