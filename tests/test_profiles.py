"""Profiles compose to valid parameters, and the default one is what the repository ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from facerec import params, profiles
from facerec.errors import ParamsError
from tests.conftest import ROOT

FOLDER = ROOT / "profiles"
TREES = st.recursive(
    st.none() | st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)


def test_params_yaml_is_the_default_profile() -> None:
    assert (ROOT / "params.yaml").read_text() == (FOLDER / "default.yaml").read_text()


@pytest.mark.parametrize("name", profiles.names(FOLDER))
def test_every_profile_is_valid_and_says_what_it_is(name: str, tmp_path: Path) -> None:
    profiles.apply(FOLDER, name, tmp_path / "params.yaml")
    parsed = params.load(tmp_path / "params.yaml")
    assert parsed.benchmarks
    assert len(profiles.describe(FOLDER, name)) > 40


def test_lfw_trains_nothing_and_renders_nothing() -> None:
    raw = yaml.safe_load(profiles.compose(FOLDER, "lfw"))
    assert raw["networks"] == []
    assert list(raw["download"]) == ["lfw", "mobilefacenet_foamliu", "retinaface_mnet025"]


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(ParamsError, match="there is no profile lwf \\(did you mean lfw\\?"):
        profiles.compose(FOLDER, "lwf")


@given(TREES, TREES)
def test_a_patch_takes_effect_once(base: Any, patch: Any) -> None:
    merged = profiles.merge(base, patch)
    assert profiles.merge(merged, patch) == merged
    assert profiles.merge(merged, {}) == (merged if isinstance(merged, dict) else {})
