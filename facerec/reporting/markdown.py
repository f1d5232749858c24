"""Markdown out of facts: texts from anywhere become cells of tables, and never markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

_MARKUP = re.compile(r"([\\`*\[\]<>|~&])|(?<![A-Za-z0-9])(_)|(_)(?![A-Za-z0-9])")
_ADDRESS = re.compile(r"https?://[^\s<>\"`|\\]+")


def escaped(text: object) -> str:
    """The text on one line, shown as it is."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(str(text).split()))


def linked(address: str) -> str:
    """A web address as a link, anything else as text."""
    return f"<{address}>" if _ADDRESS.fullmatch(address) else escaped(address)


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """A table of names and values, those without a value left out; values are Markdown already."""
    return _table("| | |", 2, ([escaped(name), value] for name, value in rows if value))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are Markdown already; numbers stand to the right of the first column."""
    return _table(f"| {' | '.join(map(escaped, header))} |", len(header), rows)


def settings(values: Mapping[str, Any]) -> str:
    """Values as a block of YAML."""
    return f"```yaml\n{yaml_of(values)}```"


def yaml_of(values: Mapping[str, Any]) -> str:
    """Values as YAML, short ones on one line."""
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    return yaml.safe_dump(plain, sort_keys=False, default_flow_style=None, width=100)


def document(title: str, *parts: str) -> str:
    """A document of non-empty parts under a title."""
    return "\n\n".join([f"# {escaped(title)}", *(part for part in parts if part)]) + "\n"


def _table(header: str, columns: int, rows: Iterable[Sequence[str]]) -> str:
    rule = "|---" + ("|---:" * (columns - 1) if columns > 2 else "|---") + "|"
    return "\n".join([header, rule, *(f"| {' | '.join(row)} |" for row in rows)])
