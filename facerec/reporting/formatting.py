"""Numbers and Markdown as a person reads them: percent, counts and sizes; tables, links and escaped text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

UNKNOWN = "–"  # noqa: RUF001


def as_percent(share: float | None, digits: int = 2) -> str:
    """A share of 1 as percent.

    >>> as_percent(0.9275)
    '92.75 %'
    """
    return UNKNOWN if share is None else f"{100 * share:.{digits}f} %"


def as_interval(low: float | None, high: float | None) -> str:
    """Two shares of 1 as an interval in percent.

    >>> as_interval(0.879, 0.973)
    '87.9 to 97.3 %'
    """
    return UNKNOWN if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f} %"


def as_count(value: int | None) -> str:
    """A whole number with commas between thousands."""
    return UNKNOWN if value is None else f"{value:,}"


def as_number(value: float | None) -> str:
    """A number to four significant digits, zeros at its end too."""
    return UNKNOWN if value is None else f"{value:#.4g}"


def as_bytes(value: int | None) -> str:
    """A size in the largest unit that fits.

    >>> as_bytes(2_828_736)
    '2.83 MB'
    """
    if value is None:
        return UNKNOWN
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value} bytes"


def as_duration(seconds: float) -> str:
    """Seconds, minutes or hours.

    >>> as_duration(3.21), as_duration(488), as_duration(7530)
    ('3.2 s', '8 min 8 s', '2 h 5 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def as_yaml(values: Mapping[str, Any]) -> str:
    """Values as YAML, short lists and mappings on one line."""
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    return yaml.safe_dump(plain, sort_keys=False, default_flow_style=None, width=100)


_MARKUP = re.compile(r"([\\`*\[\]<>|~&$])|(?<![A-Za-z0-9])(_)|(_)(?![A-Za-z0-9])")
_ADDRESS = re.compile(r"https?://[^\s<>\"`|\\]+")


def escape_markdown(text: object) -> str:
    r"""Any text on one line, so that Markdown shows it unchanged.

    >>> print(escape_markdown("<b>|*a*"))
    \<b\>\|\*a\*
    """
    return _MARKUP.sub(r"\\\g<0>", " ".join(str(text).split()))


def link_markdown(address: str) -> str:
    """A web address as a link; any other text only escaped."""
    return f"<{address}>" if _ADDRESS.fullmatch(address) else escape_markdown(address)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; its cells must be Markdown already, its header is escaped. Columns after the first align right."""
    return _join_table(f"| {' | '.join(map(escape_markdown, header))} |", len(header), rows)


def facts_table(rows: Iterable[tuple[str, str]]) -> str:
    """A table of names and values without a header; a row with an empty value is left out.

    Names are escaped, values must be Markdown already.
    """
    return _join_table("| | |", 2, ([escape_markdown(name), value] for name, value in rows if value))


def yaml_block(values: Mapping[str, Any]) -> str:
    """Values as a block of YAML."""
    text = as_yaml(values)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}yaml\n{text}{fence}"


def join_document(title: str, *parts: str) -> str:
    """A document of the parts that are not empty, under a title, which is escaped."""
    return "\n\n".join([f"# {escape_markdown(title)}", *(part for part in parts if part)]) + "\n"


def _join_table(header: str, columns: int, rows: Iterable[Sequence[str]]) -> str:
    rule = "|---" + ("|---:" * (columns - 1) if columns > 2 else "|---") + "|"
    return "\n".join([header, rule, *(f"| {' | '.join(row)} |" for row in rows)])


Row = list[tuple[str, str]]
"""Header and cell of each column."""


@dataclass(frozen=True)
class Table:
    """A table of text whose first column names the rows; `note` explains what the header does not."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    @classmethod
    def from_rows(cls, rows: Sequence[Row], note: str = "") -> Table:
        """A table of rows that name their columns.

        >>> Table.from_rows([[("Benchmark", "lfw"), ("Pairs", "6,000")]]).header
        ('Benchmark', 'Pairs')
        """
        header = tuple(name for name, _ in rows[0]) if rows else ()
        return cls(header, tuple(tuple(cell for _, cell in row) for row in rows), note)

    def markdown(self) -> str:
        """The table in Markdown, its note below."""
        rows = [[escape_markdown(cell) for cell in row] for row in self.rows]
        return f"{markdown_table(self.header, rows)}\n\n{self.note}"
