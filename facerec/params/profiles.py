"""Profiles: profiles/NAME.yaml laid over profiles/default.yaml gives params.yaml.

A profile is a JSON merge patch (RFC 7386) in YAML: mappings merge, null removes a key, anything else
replaces what was there. Its key `base`, which is no parameter, names the profile it is laid over when that
is not the default; a file whose name begins with "_" is only such a base and no profile of its own.
profiles/default.yaml is the whole default experiment.
"""

from __future__ import annotations

import difflib
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from facerec import params
from facerec.core import ParamsError, write_text

DEFAULT = "default"
_OPTIONAL_FILES = ("detect.weights", "train.init", "train.validation.faces")
"""Keys that dvc.yaml puts into paths, so they have to be there, null where no file is meant."""


def profile_names(folder: Path) -> list[str]:
    """Profiles of `folder`, the default first."""
    found = (path.stem for path in folder.glob("*.yaml") if not path.name.startswith("_"))
    return sorted(found, key=lambda name: (name != DEFAULT, name))


def describe_profile(folder: Path, name: str) -> str:
    """The comment a profile begins with, in one line."""
    lines = _text(folder, name).splitlines()
    comment: list[str] = []
    for line in lines:
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    return " ".join(comment)


def merge(base: Any, patch: Any) -> Any:
    """`patch` laid over `base` as RFC 7386 says; neither is changed."""
    if not isinstance(patch, dict):
        return patch
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def compose(folder: Path, name: str) -> str:
    """The text of params.yaml for profile `name`, validated; ParamsError when there is no such profile."""
    if name == DEFAULT:
        text = _text(folder, DEFAULT)
    else:
        chain = _chain(folder, name)
        merged: Any = {}
        for _, tree in chain:
            merged = merge(merged, tree)
        for key in _OPTIONAL_FILES:
            *sections, last = key.split(".")
            section = reduce(lambda tree, part: tree.setdefault(part, {}), sections, merged)
            section.setdefault(last, None)
        body = yaml.safe_dump(merged, sort_keys=False, default_flow_style=None, width=110)
        first, *over = (f"{each}.yaml" for each, _ in chain)
        text = f"# Profile {name}: profiles/{first} with {', then '.join(over)} laid over it.\n{body}"
    params.parse(yaml.safe_load(text), f"profile {name}")
    return text


def parameters(folder: Path, name: str) -> params.Params:
    """The parameters of profile `name`."""
    return params.parse(yaml.safe_load(compose(folder, name)), f"profile {name}")


def apply_profile(folder: Path, name: str, target: Path) -> None:
    """Write params.yaml for profile `name` to `target`, replacing it."""
    write_text(target, compose(folder, name))


def _chain(folder: Path, name: str) -> list[tuple[str, dict[str, Any]]]:
    """The default, then what is laid over it in turn, `name` last: names and patches without `base`."""
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
    try:
        tree = yaml.safe_load(_text(folder, name))
    except yaml.YAMLError as error:
        raise ParamsError(
            f"{folder / name}.yaml is not valid YAML: {' '.join(str(error).split())}."
        ) from error
    if not isinstance(tree, dict):
        raise ParamsError(f"{folder / name}.yaml must be a mapping of keys to values.")
    return tree


def _text(folder: Path, name: str) -> str:
    try:
        return (folder / f"{name}.yaml").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        known = profile_names(folder)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ParamsError(f"there is no profile {name} ({hint}profiles: {', '.join(known)}).") from error
