"""params.yaml is validated: every wrong key, type and value is refused by name."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from facerec import heads, params
from facerec.core import ParamsError
from tests.conftest import ROOT

DEFAULT: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())


def with_value(key: str, value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(DEFAULT)
    *folders, last = key.split(".")
    node = raw
    for part in folders:
        node = node[part]
    node[last] = value
    return raw


def test_the_default_experiment_is_valid() -> None:
    assert params.load_params(ROOT / "params.yaml").align.size == 112


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.head.margn", 0.3, "unknown key train.head.margn (did you mean margin?"),
        ("colour", "red", "unknown key colour (allowed: align, attributes, benchmarks"),
        ("benchmarks.synth_lfw.pears", "x", "unknown key benchmarks.synth_lfw.pears (did you mean pairs?"),
        ("train.lr", "fast", "train.lr should be a valid number"),
        ("train.lr", -0.1, "train.lr should be greater than 0, not -0.1"),
        ("train.head.name", "arkface", "train.head.name should be 'adacos', 'adaface'"),
        ("train.epochs", 0, "train.epochs should be greater than or equal to 1, not 0"),
        ("align.size", 0, "align.size: must be a side of 16 to 1024 pixels, or [height, width]"),
        ("model", "models/other.pt", "model must be one of models/backbone.onnx"),
        ("packs", ["nowhere"], "packs names nowhere, which stands below neither render nor download"),
        ("download", {"synth_lfw": {}}, "synth_lfw stands below both render and download"),
        ("benchmarks.synth_lfw.faces", "nowhere", "benchmarks.synth_lfw.faces is neither"),
        ("per_set.lfw", {"detect": {"retry": 1}}, "per_set.lfw is none of photos"),
        (
            "per_set.synth_lfw",
            {"detect": {"retri": 1}},
            "per_set.synth_lfw.detect, retri: Extra inputs are not permitted",
        ),
        ("per_set.synth_lfw", {"align": {"min_score": 2}}, "per_set.synth_lfw.align, min_score: Input should be less"),
        ("per_set.synth_lfw", {"align": {"size": 96}}, "align.size is the same for all sets; set it below align"),
        ("per_set.synth_lfw", {"detect": {"detector": "mtcnn"}}, "detect.detector is the same for all sets"),
        ("train.validation", {"faces": "data/faces/test/synth_lfw"}, "a set of photos needs train.validation.pairs"),
        ("identification.synth_megaface.probes", "synth_people", "uses synth_people, which is no test set"),
    ],
)
def test_a_mistake_is_refused_by_name(key: str, value: Any, message: str) -> None:
    with pytest.raises(ParamsError, match=re.escape(message)) as caught:
        params.parse_params(with_value(key, value), "params.yaml")
    assert str(caught.value).startswith("params.yaml: ")
    assert "\n" not in str(caught.value)


def test_a_photo_set_can_be_detected_and_aligned_otherwise() -> None:
    own = {"detect": {"retry": 1, "min_face": 30}, "align": {"fallbacks": ["retry", "detector"]}}
    parsed = params.parse_params(with_value("per_set.synth_lfw", own))
    changed, plain = parsed.detect_of("synth_lfw"), parsed.detect_of("synth_people")
    assert plain == parsed.detect
    assert (changed.retry, changed.min_face, changed.factor) == (1, 30, parsed.detect.factor)
    assert parsed.align_of("synth_lfw") == parsed.align.model_copy(update={"fallbacks": ("retry", "detector")})
    assert parsed.align_of("synth_people") == parsed.align


def test_keys_that_came_later_are_not_written_where_they_say_nothing() -> None:
    parsed = params.parse_params(DEFAULT)
    written = parsed.model_dump(mode="json")
    assert "per_set" not in written
    assert written["train"]["validation"] == {"faces": None, "sets": [], "every": 2000}
    assert "merge" not in written["train"]
    changed = params.parse_params(with_value("train.merge", "names")).model_dump(mode="json")
    assert changed["train"]["merge"] == "names"
    own = params.parse_params(with_value("per_set.synth_lfw", {"detect": {"retry": 1}})).model_dump(mode="json")
    assert own["per_set"] == {"synth_lfw": {"detect": {"retry": 1}, "align": {}}}


def test_a_missing_key_is_named() -> None:
    raw = copy.deepcopy(DEFAULT)
    del raw["train"]["epochs"], raw["verify"]
    parsed = pytest.raises(ParamsError, params.parse_params, raw)
    assert "key verify is missing" in str(parsed.value)


@pytest.mark.parametrize("text", ["a: [1", "- 1\n- 2", "", "\x00", "7"])
def test_what_is_no_mapping_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=r"params\.yaml"):
        params.load_params(tmp_path / "params.yaml")


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="is missing; run from the repository root"):
        params.load_params(tmp_path / "params.yaml")


LEAVES = sorted({f"{a}.{b}" for a in ("detect", "align", "train", "verify", "identify") for b in DEFAULT[a]})


@given(st.sampled_from(LEAVES), st.one_of(st.none(), st.text(max_size=5), st.dictionaries(st.text(), st.none())))
def test_no_value_escapes_validation(key: str, value: Any) -> None:
    try:
        parsed = params.parse_params(with_value(key, value))
    except ParamsError as error:
        assert key.split(".")[0] in str(error)
    else:
        section, leaf = key.split(".")
        assert getattr(getattr(parsed, section), leaf) is not None or key in {"detect.weights", "train.init"}


def test_every_head_can_be_named_with_options_it_knows() -> None:
    names = set(get_args(params.HeadParams.model_fields["name"].annotation))
    assert names == set(heads.HEADS)
    options = {option for name in names for option in heads.head_options(name)}
    assert set(params.HeadParams.model_fields) - {"name", "rate", "chunked"} <= options


def literals(model: Any) -> set[str]:
    """Every text that a model or the models inside it take literally."""
    found: set[str] = set()
    pending = [model]
    while pending:
        part = pending.pop()
        pending += [field.annotation for field in getattr(part, "model_fields", {}).values()]
        pending += [each for each in get_args(part) if not isinstance(each, str)]
        found |= {each for each in get_args(part) if isinstance(each, str)}
    return found


def test_no_text_is_read_as_something_else() -> None:
    """`dvc exp run -S` writes texts without quotes; YAML 1.1 would read 4:2:0 as the number 14,520."""
    texts = literals(params.Params)
    assert {"arcface", "yuv420", "insightface"} <= texts
    assert {text: yaml.safe_load(text) for text in texts} == {text: text for text in texts}
