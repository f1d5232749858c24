"""How numbers are written for people: percent, counts, bytes and seconds, and a dash for what is unknown."""

from __future__ import annotations

NONE = "–"  # noqa: RUF001


def percent(share: float | None, digits: int = 2) -> str:
    """A share of 1 as percent: .9275 -> 92.75 %."""
    return NONE if share is None else f"{100 * share:.{digits}f} %"


def interval(low: float | None, high: float | None) -> str:
    """Two shares as an interval in percent: 87.9 to 97.3 %."""
    return NONE if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f} %"


def count(value: int | None) -> str:
    """A whole number with its thousands apart."""
    return NONE if value is None else f"{value:,}"


def number(value: float | None) -> str:
    """A number to four digits."""
    return NONE if value is None else f"{value:.4g}"


def size(value: int | None) -> str:
    """Bytes in the unit that suits them."""
    if value is None:
        return NONE
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value} bytes"


def duration(seconds: float) -> str:
    """Seconds as people say them: 3.2 s, 8 min 8 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
