"""params.yaml as typed, validated models: the one description of every parameter of an experiment.

    from facerec import params

    print(params.load_params("params.yaml").train.head.margin)

An unknown key, a wrong type or an impossible value raises `ParamsError`, which names the key and what is allowed.
Settings of the machine (device, workers, mirrors) are not parameters, since they must not change a hash.
"""

from facerec.params.evaluation import Benchmark, Identification, Identify, Verify
from facerec.params.experiment import Params
from facerec.params.faces import DETECTOR_OPTIONS, Align, Detect
from facerec.params.reading import load_params, parse_options, parse_params
from facerec.params.training import Augment, Backbone, HeadParams, SamplerParams, Schedule, Train, Validation

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
    "load_params",
    "parse_options",
    "parse_params",
]
