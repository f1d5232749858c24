"""Profiles compose to valid parameters, and the default one is what the repository ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from facerec import params
from facerec.core import ParamsError
from facerec.params import profiles
from tests.conftest import ROOT

FOLDER = ROOT / "profiles"
TREES = st.recursive(
    st.none() | st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)


def test_params_yaml_is_the_default_profile() -> None:
    assert (ROOT / "params.yaml").read_text() == (FOLDER / "default.yaml").read_text()


@pytest.mark.parametrize("name", profiles.profile_names(FOLDER))
def test_every_profile_is_valid_and_says_what_it_is(name: str, tmp_path: Path) -> None:
    profiles.apply_profile(FOLDER, name, tmp_path / "params.yaml")
    parsed = params.load_params(tmp_path / "params.yaml")
    assert parsed.benchmarks or parsed.identification
    assert len(profiles.describe_profile(FOLDER, name)) > 40


@pytest.mark.attack("Names", "`../x` as a profile, a base, a set", "refused")
@pytest.mark.parametrize("name", ["../x", "/tmp/x", "..", "a/b", "", ".hidden", "a\0", "x\n", "lfw.yaml/"])
def test_a_name_is_no_path(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    (folder / "a").mkdir(parents=True)
    for place in (tmp_path / "x.yaml", folder / "a/b.yaml", folder / ".hidden.yaml", folder / "..yaml"):
        place.write_text((FOLDER / "default.yaml").read_text())
    (folder / "default.yaml").write_text((FOLDER / "default.yaml").read_text())
    (folder / "mine.yaml").write_text(yaml.safe_dump({"base": name}))
    for tried in (name, "mine"):
        with pytest.raises(ParamsError, match="is no name of a profile; give one without folder") as told:
            profiles.compose_params(folder, tried)
        assert "\n" not in str(told.value)


def test_lfw_trains_nothing_and_renders_nothing() -> None:
    raw = yaml.safe_load(profiles.compose_params(FOLDER, "lfw"))
    assert raw["networks"] == []
    assert sorted(raw["download"]) == ["lfw", "lfw_protocols", "mobilefacenet_foamliu_pt", "retinaface_mnet025"]


def test_one_run_measures_two_sets_each_with_its_own_settings() -> None:
    raw = yaml.safe_load(profiles.compose_params(FOLDER, "lfw_cfp"))
    own = {"detect": {"retry": 1}, "align": {"fallbacks": ["retry", "detector"]}}
    assert raw["per_set"] == {"cfp": own, "lfw": {}}, "DVC needs an entry for each set of photos"
    parsed = profiles.load_profile(FOLDER, "lfw_cfp")
    assert (parsed.detect_of("lfw"), parsed.align_of("lfw")) == (parsed.detect, parsed.align)
    cfp = profiles.load_profile(FOLDER, "cfp")
    assert (parsed.detect_of("cfp"), parsed.align_of("cfp")) == (cfp.detect, cfp.align)
    assert parsed.benchmarks.items() > cfp.benchmarks.items()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The default profile alone, for more to be put beside it."""
    (tmp_path / "default.yaml").write_text((FOLDER / "default.yaml").read_text())
    return tmp_path


def test_a_profile_is_laid_over_its_base(folder: Path) -> None:
    (folder / "_both.yaml").write_text("verify: {far: 0.02, seed: 7}\n")
    (folder / "mine.yaml").write_text("# Mine.\nbase: _both\nverify: {far: 0.03}\n")
    parsed = profiles.load_profile(folder, "mine")
    assert (parsed.verify.far, parsed.verify.seed, parsed.train.epochs) == (0.03, 7, 5)
    first = profiles.compose_params(folder, "mine").splitlines()[0]
    assert first == "# Profile mine: profiles/default.yaml with _both.yaml, then mine.yaml laid over it."
    assert profiles.profile_names(folder) == ["default", "mine"], "a base is no profile"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: mine", "profile mine is laid over itself; correct `base` in profiles/mine.yaml"),
        ("base: other", "there is no profile other"),
        ("base: [1", "mine.yaml is not valid YAML"),
        ("- 1", "mine.yaml must be a mapping"),
        ("# Nothing.", "mine.yaml must be a mapping"),
        ("verify: {fra: 1}", "profile mine: unknown key verify.fra"),
    ],
)
def test_a_wrong_profile_is_one_sentence(folder: Path, text: str, message: str) -> None:
    (folder / "mine.yaml").write_text(text)
    with pytest.raises(ParamsError, match=message) as caught:
        profiles.compose_params(folder, "mine")
    assert "\n" not in str(caught.value)


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(ParamsError, match="there is no profile lwf \\(did you mean lfw\\?"):
        profiles.compose_params(FOLDER, "lwf")


@given(TREES, TREES)
def test_a_patch_takes_effect_once(base: Any, patch: Any) -> None:
    merged = profiles.merge_patch(base, patch)
    assert profiles.merge_patch(merged, patch) == merged
    assert profiles.merge_patch(merged, {}) == (merged if isinstance(merged, dict) else {})
