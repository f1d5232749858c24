"""Write docs/parameters.md: every key of params.yaml, from the models in facerec/params and the graph of dvc.yaml."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from facerec.core import write_text
from facerec.params import Params
from tools.graph import ROOT, Graph

PAGE = ROOT / "docs/parameters.md"

_HEAD = """\
# Parameters

Every key of `params.yaml`. This page is made from `facerec/params` and `dvc.yaml` by `make docs`; do not edit it.

A key that is left out has the default given here. A key without a default is required or, below `train.backbone` and
`train.head`, keeps the value of its family. `params.yaml` holds the values of the default experiment. NAME is a name of
your choice; below `render` and `download` it is the name of a catalog entry. `facerec check` and every stage refuse an unknown key or
an impossible value. `dvc exp run -S KEY=VALUE` changes a key for one experiment.

"Re-runs" names the stages of the default experiment that run again when the key changes; all others come from the cache.
`slices`, `quality`, `openset`, `clean`, `overlap` and `disjoint` run only for what `attributes`, `quality`, `openset`, `clean` and
`overlap` name.
Settings of the machine (device, workers, mirrors) are never parameters; see [installing.md](installing.md#settings-of-the-machine).
"""
_COUNTS = {2: "two", 3: "three", 4: "four", 5: "five"}


@dataclass(frozen=True)
class Key:
    """A key of params.yaml, as a row of the page."""

    path: str
    kind: str
    default: str
    meaning: str


def page() -> str:
    """The text of docs/parameters.md."""
    schema = Params.model_json_schema()
    graph = Graph()
    simple = {name: field for name, field in schema["properties"].items() if not _model(field, schema)}
    parts = [_HEAD, "\n## What an experiment spans\n\n", *_table(_keys("", simple, schema), graph)]
    for name, field in schema["properties"].items():
        model = _model(field, schema)
        if model:
            parts += [f"\n## {name}\n\n{model['description']}\n\n"]
            parts += _table(_keys(f"{name}.", model["properties"], schema), graph)
    return "".join(parts)


def _table(keys: Iterator[Key], graph: Graph) -> Iterator[str]:
    """The table of a section and, below it, the stages that its keys re-run."""
    rows = list(keys)
    yield "| key | value | default | meaning |\n|---|---|---|---|\n"
    for key in rows:
        yield f"| `{key.path}` | {key.kind} | {key.default} | {key.meaning} |\n"
    yield "\n"
    groups: dict[str, list[str]] = {}
    for key in rows:
        groups.setdefault(", ".join(graph.reruns(key.path)), []).append(f"`{key.path}`")
    if len(groups) == 1:
        yield f"Re-runs {''.join(groups)}.\n"
        return
    yield "Re-runs:\n\n"
    for stages, names in groups.items():
        yield f"- {', '.join(names)}: {stages}\n"


def _keys(prefix: str, fields: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Key]:
    """The keys of a model, each followed by those of the model it holds."""
    for name, field in fields.items():
        entry = _entry(field)
        path = f"{prefix}{name}" if entry is None else f"{prefix}{name}.NAME"
        held = field if entry is None else entry
        inner = _model(held, schema)
        meaning = _one_line(field.get("description") or (inner or {}).get("description", ""))
        yield Key(path, "" if inner else _kind(held), _default(field), meaning)
        if inner:
            yield from _keys(f"{path}.", inner["properties"], schema)


def _default(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    return "" if value is None or isinstance(value, dict) else f"`{json.dumps(value)}`".replace('"', "")


def _entry(field: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of the values of a mapping from names; None for any other field."""
    held: list[Any] = [*field.get("patternProperties", {}).values(), field.get("additionalProperties")]
    if field.get("type") != "object" or "properties" in field:
        return None
    return held[0] if isinstance(held[0], dict) else {}


def _model(field: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of the model that a field holds; None for a plain value."""
    name = str(field.get("$ref", "")).removeprefix("#/$defs/")
    return schema["$defs"][name] if name else None


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _kind(field: Mapping[str, Any]) -> str:
    """The values that a key takes, in words."""
    if "anyOf" in field:
        return " or ".join(_kind(each) for each in field["anyOf"] if each.get("type") != "null")
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if "prefixItems" in field:
        first = _kind(field["prefixItems"][0])
        return f"{_COUNTS[len(field['prefixItems'])]} values, each {first}"
    if field.get("type") == "array":
        return f"list, each {_kind(field.get('items', {}))}{_least(field)}"
    if field.get("type") in ("integer", "number"):
        return f"{'whole number' if field['type'] == 'integer' else 'number'}{_range(field)}"
    others = {"boolean": "`true`, `false`", "string": _text(field), "object": "options"}
    return others.get(str(field.get("type")), "the value of that key")


def _text(field: Mapping[str, Any]) -> str:
    return "name of letters, digits and _" if "/" not in field.get("pattern", "/") else "text"


def _least(field: Mapping[str, Any]) -> str:
    least = field.get("minItems", 0)
    return f"; at least {least}" if least else ""


def _range(field: Mapping[str, Any]) -> str:
    """The limits of a number, such as " 1 to 100" or " above 0, below 1"."""
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        return f" {low:,} to {high:,}"
    words = (
        ("above", "exclusiveMinimum"),
        ("at least", "minimum"),
        ("below", "exclusiveMaximum"),
        ("up to", "maximum"),
    )
    limits = [f"{word} {field[name]:,}" for word, name in words if name in field]
    return f" {', '.join(limits)}" if limits else ""


def main() -> None:
    """Write the page."""
    write_text(PAGE, page())


if __name__ == "__main__":
    main()
