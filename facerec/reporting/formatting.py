"""How numbers are written for people: percent, counts, bytes and seconds, and a dash for what is unknown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

UNKNOWN = "–"  # noqa: RUF001


def as_percent(share: float | None, digits: int = 2) -> str:
    """A share of 1 as percent: .9275 -> 92.75 %."""
    return UNKNOWN if share is None else f"{100 * share:.{digits}f} %"


def as_interval(low: float | None, high: float | None) -> str:
    """Two shares as an interval in percent: 87.9 to 97.3 %."""
    return UNKNOWN if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f} %"


def as_count(value: int | None) -> str:
    """A whole number with its thousands apart."""
    return UNKNOWN if value is None else f"{value:,}"


def as_number(value: float | None) -> str:
    """A number to four digits."""
    return UNKNOWN if value is None else f"{value:.4g}"


def as_bytes(value: int | None) -> str:
    """Bytes in the unit that suits them."""
    if value is None:
        return UNKNOWN
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value} bytes"


def as_duration(seconds: float) -> str:
    """Seconds as people say them: 3.2 s, 8 min 8 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


_MARKUP = re.compile(r"([\\`*\[\]<>|~&])|(?<![A-Za-z0-9])(_)|(_)(?![A-Za-z0-9])")
_ADDRESS = re.compile(r"https?://[^\s<>\"`|\\]+")


def escape_markdown(text: object) -> str:
    """The text on one line, shown as it is."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(str(text).split()))


def link_markdown(address: str) -> str:
    """A web address as a link, anything else as text."""
    return f"<{address}>" if _ADDRESS.fullmatch(address) else escape_markdown(address)


def facts_table(rows: Iterable[tuple[str, str]]) -> str:
    """A table of names and values, those without a value left out; values are Markdown already."""
    return _table("| | |", 2, ([escape_markdown(name), value] for name, value in rows if value))


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are Markdown already; numbers stand to the right of the first column."""
    return _table(f"| {' | '.join(map(escape_markdown, header))} |", len(header), rows)


def yaml_block(values: Mapping[str, Any]) -> str:
    """Values as a block of YAML."""
    return f"```yaml\n{as_yaml(values)}```"


def as_yaml(values: Mapping[str, Any]) -> str:
    """Values as YAML, short ones on one line."""
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    return yaml.safe_dump(plain, sort_keys=False, default_flow_style=None, width=100)


def join_document(title: str, *parts: str) -> str:
    """A document of non-empty parts under a title."""
    return "\n\n".join([f"# {escape_markdown(title)}", *(part for part in parts if part)]) + "\n"


def _table(header: str, columns: int, rows: Iterable[Sequence[str]]) -> str:
    rule = "|---" + ("|---:" * (columns - 1) if columns > 2 else "|---") + "|"
    return "\n".join([header, rule, *(f"| {' | '.join(row)} |" for row in rows)])
