"""params.yaml as typed, validated models: the one description of what an experiment may vary.

An unknown key, a wrong type or an impossible value raises `ParamsError` naming the key and what is
allowed. Facts of the machine (device, workers, mirrors) are not here: they must not change a hash.
"""

from facerec.params.evaluation import Benchmark, Identification, Identify, Verify
from facerec.params.experiment import Params
from facerec.params.faces import DETECTOR_OPTIONS, Align, Detect
from facerec.params.reading import load, parse
from facerec.params.training import (
    Augment,
    Backbone,
    HeadParams,
    SamplerParams,
    Schedule,
    Train,
    Validation,
)

__all__ = [
    "DETECTOR_OPTIONS",
    "Align",
    "Augment",
    "Backbone",
    "Benchmark",
    "Detect",
    "HeadParams",
    "Identification",
    "Identify",
    "Params",
    "SamplerParams",
    "Schedule",
    "Train",
    "Validation",
    "Verify",
    "load",
    "parse",
]
