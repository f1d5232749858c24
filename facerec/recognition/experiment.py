"""A recogniser that treats photos as the stages of an experiment did.

How faces are found and chosen moves similarities, and with them what a threshold is worth: on one synthetic pair
MTCNN's smallest face of 20 instead of 40 pixels changed the cosine from .90 to .75. So thresholds are best used with
the settings they were measured with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facerec import params as parameters
from facerec.recognition.recogniser import Recogniser


def of_experiment(
    params: str | Path = "params.yaml",
    *,
    model: str | Path | None = None,
    detector: str | None = None,
    options: Mapping[str, Any] | None = None,
    rule: str | None = None,
    fallbacks: Sequence[str] | None = None,
) -> Recogniser:
    """The network of the experiment in `params`, its detector, and its choice of faces; arguments replace single ones.

    Raises ParamsError for a wrong file or setting and FormatError for a network that is not there yet.
    """
    experiment = parameters.load(params)
    found, align = experiment.detect, experiment.align
    own = found.options() if detector in (None, found.detector) else {}
    return Recogniser(
        model or experiment.model,
        detector or found.detector,
        {**own, **(options or {})},
        found.retry,
        rule=rule or align.rule,
        fallbacks=tuple(fallbacks or align.fallbacks),
        **align.model_dump(include={"min_score", "quality", "subsampling"}),
    )
