"""Arguments of `dvc exp run -S`: applied by DVC's own code, they turn one parameter file into another."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from dvc.utils.serialize import load_yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from facerec import params
from facerec.core import ParamsError
from facerec.params import profiles
from facerec.params.profiles import list_overrides
from tests.conftest import ROOT

FOLDER = ROOT / "profiles"

# No control characters, and no interpolation of OmegaConf, which DVC would resolve in any parameter file.
TEXTS = st.text(st.characters(max_codepoint=0x24F, exclude_categories=["C"], exclude_characters="$"), max_size=8)
NUMBERS = st.floats(-1e6, 1e6).map(lambda number: round(number, 3))  # DVC's YAML reader is an ulp off at 8.6e-13
LEAVES = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | TEXTS | NUMBERS
KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,3}", fullmatch=True)
TREES = st.dictionaries(
    KEYS,
    st.recursive(
        LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
    ),
    max_size=4,
)


def applied(folder: Path, tree: dict[str, Any], arguments: list[str]) -> Any:
    """What DVC makes of params.yaml holding `tree` when it is given -S with these arguments."""
    file = folder / "params.yaml"
    file.write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))
    grouped = to_path_overrides(arguments)
    assert set(grouped) <= {"params.yaml"}
    (single,) = get_hydra_sweeps(grouped)  # nothing is taken for a grid
    apply_overrides(file, single.get("params.yaml", []))
    return load_yaml(file)


@settings(deadline=None, max_examples=60)  # the first one loads Hydra
@given(TREES, TREES)
def test_dvc_arrives_at_the_new_parameters(
    tmp_path_factory: pytest.TempPathFactory, old: dict[str, Any], new: dict[str, Any]
) -> None:
    arguments = list_overrides(old, new)
    assert applied(tmp_path_factory.getbasetemp(), old, arguments) == new
    assert bool(arguments) == (repr(old) != repr(new)) or old == new


@pytest.mark.parametrize("name", profiles.profile_names(FOLDER))
def test_every_profile_can_be_run_without_being_written(name: str, tmp_path: Path) -> None:
    default, wanted = (yaml.safe_load(profiles.compose_params(FOLDER, each)) for each in ("default", name))
    arguments = list_overrides(default, wanted)
    assert applied(tmp_path, default, arguments) == wanted
    assert params.load_params(tmp_path / "params.yaml") == params.parse_params(wanted)
    assert list_overrides(wanted, wanted) == []


@given(TREES)
def test_a_shell_hands_them_on_unchanged(tree: dict[str, Any]) -> None:
    arguments = list_overrides({}, tree)
    assert shlex.split(shlex.join(arguments)) == arguments


def test_a_shell_and_xargs_read_what_is_quoted() -> None:
    arguments = list_overrides({"a": {"b": 1}}, {"c": "it's 1, or ~/{x}", "d": [1, "two words"]})
    line = shlex.join(arguments)
    for script in ("eval printf '%s\\\\n' \"$line\"", 'printf %s "$line" | xargs printf "%s\\n"'):
        shown = subprocess.run(["sh", "-c", script], env={"line": line, "PATH": "/usr/bin:/bin"}, stdout=-1)
        assert shown.stdout.decode().splitlines() == arguments


def test_a_number_is_not_its_text_and_not_true() -> None:
    assert list_overrides({"a": 1}, {"a": "1"}) == ["a='1'"]
    assert list_overrides({"a": 1}, {"a": True}) == ["a=true"]
    assert list_overrides({"a": 1}, {"a": 1.0}) == ["a=1.0"]
    assert list_overrides({"a": 1}, {"a": 1}) == []


def test_a_key_that_hydra_cannot_name_is_refused() -> None:
    with pytest.raises(ParamsError, match="'300w' cannot be written after -S; edit params"):
        list_overrides({}, {"300w": {}})
