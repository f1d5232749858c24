"""Profiles: profiles/NAME.yaml laid over profiles/default.yaml gives params.yaml.

A profile is a JSON merge patch (RFC 7386) in YAML: mappings merge, null removes a key, any other value replaces the
old one. Its key `base`, which is no parameter, names the profile it is laid over if that is not the default. A file
whose name begins with "_" is only such a base. profiles/default.yaml is the whole default experiment.

`list_overrides` expresses a profile as arguments of `dvc exp run -S`, in Hydra's grammar
(https://hydra.cc/docs/advanced/override_grammar/basic/): `key=value` changes a key, `+key=value` adds one, `~key`
removes one. Hydra merges a mapping given as a value instead of replacing the old one, so mappings are changed key by
key. Texts that could be read as another type are quoted.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from functools import reduce
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from facerec import params
from facerec.core import ParamsError, parse_yaml, write_text

DEFAULT = "default"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_BARE = re.compile(r"[A-Za-z_/][A-Za-z0-9_/.-]*")
_WORDS = {"true", "false", "null", "inf", "nan"}
_OPTIONAL_FILES = ("detect.weights", "train.init", "train.validation.faces", "train.validation.pairs")
"""Keys that dvc.yaml uses in paths, so they must be there; null where no file is meant."""


def profile_names(folder: Path) -> list[str]:
    """Names of the profiles in `folder`, the default first."""
    found = (path.stem for path in folder.glob("*.yaml") if not path.name.startswith("_"))
    return sorted(found, key=lambda name: (name != DEFAULT, name))


def describe_profile(folder: Path, name: str) -> str:
    """The comment at the beginning of a profile, in one line."""
    comment = takewhile(lambda line: line.startswith("#"), _text(folder, name).splitlines())
    return " ".join(line.lstrip("# ") for line in comment)


def merge_patch(base: Any, patch: Any) -> Any:
    """`patch` laid over `base` as a JSON merge patch (RFC 7386); neither is changed.

    >>> merge_patch({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"d": 3}})
    {'b': {'c': 2, 'd': 3}}
    """
    if not isinstance(patch, dict):
        return patch
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def compose_params(folder: Path, name: str) -> str:
    """The text of params.yaml for profile `name`, validated; ParamsError when there is no such profile."""
    if name == DEFAULT:
        text = _text(folder, DEFAULT)
    else:
        chain = _chain(folder, name)
        merged: Any = reduce(merge_patch, (tree for _, tree in chain), {})
        for key in _OPTIONAL_FILES:
            *sections, last = key.split(".")
            section = reduce(lambda tree, part: tree.setdefault(part, {}), sections, merged)
            section.setdefault(last, None)
        own = merged.get("per_set", {})
        kept = {name: each for name, each in own.items() if each or name in merged["photos"]}
        merged["per_set"] = kept | {name: {} for name in merged["photos"] if name not in own}
        for rated in merged.get("quality", {}).values():
            rated.setdefault("table", None)
        body = yaml.safe_dump(merged, sort_keys=False, default_flow_style=None, width=110)
        first, *over = (f"{each}.yaml" for each, _ in chain)
        text = f"# Profile {name}: profiles/{first} with {', then '.join(over)} laid over it.\n{body}"
    _parse(text, name)
    return text


def load_profile(folder: Path, name: str) -> params.Params:
    """The parameters of profile `name`."""
    return _parse(compose_params(folder, name), name)


def _parse(text: str, name: str) -> params.Params:
    return params.parse_params(parse_yaml(text, f"profile {name}", ParamsError), f"profile {name}")


def apply_profile(folder: Path, name: str, target: Path) -> None:
    """Write params.yaml for profile `name` to `target`, replacing it."""
    write_text(target, compose_params(folder, name))


def _chain(folder: Path, name: str) -> list[tuple[str, dict[str, Any]]]:
    """(name, patch) of the default and of all profiles laid over it in turn, `name` last."""
    chain: list[tuple[str, dict[str, Any]]] = []
    while True:
        if name in [each for each, _ in chain]:
            raise ParamsError(f"profile {name} is laid over itself; correct `base` in profiles/{name}.yaml.")
        tree = _tree(folder, name)
        base = tree.pop("base", None if name == DEFAULT else DEFAULT)
        chain.insert(0, (name, tree))
        if base is None:
            return chain
        name = str(base)


def _tree(folder: Path, name: str) -> dict[str, Any]:
    tree = parse_yaml(_text(folder, name), f"{folder / name}.yaml", ParamsError)
    if not isinstance(tree, dict):
        raise ParamsError(f"{folder / name}.yaml must be a mapping of keys to values.")
    return tree


def _text(folder: Path, name: str) -> str:
    if not _NAME.fullmatch(name):  # it comes from a command line or from `base`, and becomes a path
        raise ParamsError(f"{name!r} is no name of a profile; give one without folder and ending, such as {DEFAULT}.")
    try:
        return (folder / f"{name}.yaml").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        known = profile_names(folder)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ParamsError(f"there is no profile {name} ({hint}profiles: {', '.join(known)}).") from error
    except UnicodeDecodeError as error:
        raise ParamsError(f"{folder / name}.yaml is no UTF-8 text; correct it or restore it from git.") from error


def list_overrides(old: Any, new: Any) -> list[str]:
    """Overrides that turn the parameters `old` into `new`, both mappings of plain values; [] when they are equal.

    >>> list_overrides({"lr": 0.1, "old": 1}, {"lr": 0.2, "name": "true"})
    ['~old', 'lr=0.2', "+name='true'"]
    """
    return list(_override_changes("", old, new))


def _override_changes(path: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for key in old:
        if key not in new:
            yield from _remove_key(_join_key(path, key), old[key])
    for key, value in new.items():
        place = _join_key(path, key)
        if key not in old:
            yield f"+{place}={_override_value(value)}"
        elif isinstance(old[key], dict) and isinstance(value, dict):
            yield from _override_changes(place, old[key], value)
        elif isinstance(old[key], dict) or isinstance(value, dict):
            yield from _remove_key(place, old[key])
            yield f"+{place}={_override_value(value)}"
        elif repr(old[key]) != repr(value):  # 1, 1.0 and True are equal, but not the same parameter
            yield f"{place}={_override_value(value)}"


def _remove_key(place: str, value: Any) -> list[str]:
    """Hydra treats a key with the value null as missing, so it gets another value first."""
    return [*([f"{place}=0"] if value is None else []), f"~{place}"]


def _join_key(path: str, key: str) -> str:
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise ParamsError(f"The key {key!r} cannot be written after -S; edit params.yaml instead.")
    return f"{path}.{key}" if path else key


def _override_value(value: Any) -> str:
    """`value` in Hydra's grammar."""
    if isinstance(value, dict):
        pairs = (f"{_join_key('', key)}:{_override_value(each)}" for key, each in value.items())
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_override_value, value))}]"
    if isinstance(value, str):
        return _quoted(value)
    return "null" if value is None else repr(value).lower()


def _quoted(text: str) -> str:
    if _BARE.fullmatch(text) and text.lower() not in _WORDS:
        return text
    # Backslashes count only before a quote, where Hydra halves them.
    escaped = re.sub(r"(\\*)(?='|$)", lambda found: 2 * found[1], text, flags=re.DOTALL).replace("'", "\\'")
    return f"'{escaped}'"
