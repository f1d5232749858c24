"""The change from one parameter file to another, as arguments of `dvc exp run -S`.

DVC hands what follows -S to Hydra's grammar of overrides (https://hydra.cc/docs/advanced/override_grammar/basic/):
`key=value` changes a key, `+key=value` adds one, `~key` removes one. A value is written so that it is read as
what it is: texts that could be something else in quotes, lists whole. A mapping given as a value is merged
by Hydra, not put in place, so mappings are changed key by key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from facerec.core import ParamsError

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_BARE = re.compile(r"[A-Za-z_/][A-Za-z0-9_/.-]*")
_WORDS = {"true", "false", "null", "inf", "nan"}


def between(old: Any, new: Any) -> list[str]:
    """Overrides that turn the parameters `old` into `new`, both mappings of plain values; [] when they are equal."""
    return list(_changes("", old, new))


def _changes(path: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for key in old:
        if key not in new:
            yield from _removal(_join(path, key), old[key])
    for key, value in new.items():
        place = _join(path, key)
        if key not in old:
            yield f"+{place}={_value(value)}"
        elif isinstance(old[key], dict) and isinstance(value, dict):
            yield from _changes(place, old[key], value)
        elif isinstance(old[key], dict) or isinstance(value, dict):
            yield from _removal(place, old[key])
            yield f"+{place}={_value(value)}"
        elif _differ(old[key], value):
            yield f"{place}={_value(value)}"


def _removal(place: str, value: Any) -> list[str]:
    """Hydra takes a key whose value is null for one that is not there, so it gets another value first."""
    return [*([f"{place}=0"] if value is None else []), f"~{place}"]


def _differ(old: Any, new: Any) -> bool:
    return repr(old) != repr(new)  # 1, 1.0 and True are equal, but not the same parameter


def _join(path: str, key: str) -> str:
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise ParamsError(f"The key {key!r} cannot be written after -S; edit params.yaml instead.")
    return f"{path}.{key}" if path else key


def _value(value: Any) -> str:
    """`value` in Hydra's grammar."""
    if isinstance(value, dict):
        pairs = (f"{_join('', key)}:{_value(each)}" for key, each in value.items())
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_value, value))}]"
    if isinstance(value, str):
        return _text(value)
    return "null" if value is None else repr(value).lower()


def _text(text: str) -> str:
    if _BARE.fullmatch(text) and text.lower() not in _WORDS:
        return text
    # Backslashes count only before a quote, where Hydra halves them.
    escaped = re.sub(r"(\\*)(?='|$)", lambda found: 2 * found[1], text, flags=re.DOTALL).replace("'", "\\'")
    return f"'{escaped}'"
