"""The section `detect` of params.yaml: every detector has its own options, and weights where it needs them."""

import pytest
import yaml

from facerec import detection, params
from facerec.core import ParamsError
from tests.conftest import ROOT

DEFAULT = yaml.safe_load((ROOT / "params.yaml").read_text())
FILE = "data/raw/retinaface_mnet025/retinaface_mobilenet0.25.pth"


def parse(**detect):
    download = {**DEFAULT["download"], "retinaface_mnet025": {}}
    return params.parse_params({**DEFAULT, "download": download, "detect": detect}).detect


def test_the_names_are_those_of_the_registry():
    assert sorted(params.DETECTOR_OPTIONS) == detection.detector_names()


def test_each_detector_gets_its_options():
    assert params.parse_params(DEFAULT).detect.options() == {
        "min_face": 40, "thresholds": (0.6, 0.7, 0.7), "factor": 0.709,
    }  # fmt: skip
    assert parse(detector="retinaface-mnet0.25", weights=FILE, threshold=0.8).options() == {
        "threshold": 0.8, "overlap": 0.4, "max_side": 2048, "engine": "torch", "weights": FILE,
    }  # fmt: skip
    assert parse(detector="retina-face", weights="x.pth").options() == {
        "threshold": 0.9, "upscale": True, "weights": "x.pth",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("detect", "message"),
    [
        ({"detector": "mtcnn", "threshold": 0.9}, "mtcnn has no threshold, remove it"),
        ({"detector": "retinaface-r50", "weights": FILE, "min_face": 20}, "retinaface-r50 has no min_face"),
        ({"detector": "retinaface-r50"}, "weights of retinaface-r50 must be a file, not null"),
        ({"detector": "mtcnn", "weights": FILE}, "weights of mtcnn must be null, since they come with"),
        ({"detector": "retina-face", "weights": "data/raw/nowhere/a.pth"}, "data/raw/nowhere, which download"),
        ({"detector": "retina-face", "weights": "data/raw/synth_lfw"}, "data/raw/synth_lfw, which download"),
        ({"detector": "viola-jones"}, "detect.detector should be 'mtcnn'"),
    ],
)
def test_what_does_not_belong_together_is_refused_by_name(detect, message):
    with pytest.raises(ParamsError, match="params: .*" + message):
        parse(**detect)
