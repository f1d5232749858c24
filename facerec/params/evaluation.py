"""Benchmarks and how they are judged: `benchmarks`, `identification`, `verify` and `identify`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from facerec.params.strict import Name, Share, Strict


class Benchmark(Strict):
    """A verification benchmark: a face set below data/faces/test and its list of pairs."""

    faces: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(/[A-Za-z0-9_]+)?$")]
    pairs: str


class Identification(Strict):
    """A MegaFace-style benchmark: probe and distractor face sets and their lists of noise."""

    probes: Name
    distractors: Name
    probe_noises: str
    distractor_noises: str


class Verify(Strict):
    """The verification protocol, by its published name, and the headline false accept rate."""

    protocol: Literal["insightface", "concat-mean", "youden"] = "insightface"
    far: Share = 1e-3
    bootstrap: Annotated[int, Field(ge=2, le=100_000)] = 1000
    """Trials of the bootstrap over identities, from which intervals and bands come."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1


class Identify(Strict):
    """Identification: noise removal, false positive rates, random subsets of the distractors, bootstrap.

    `sweeps` random orders of the distractors are cut into subsets of 10, 100, 1,000 ...; `bootstrap` is how often
    the identities are drawn for the 95 % bands; 0 leaves either out. `seed` is for the draws of all of these.
    """

    noise: Literal["published", "centre", "zero", "delete"] = "published"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    fprs: Annotated[tuple[Share, ...], Field(min_length=1)] = (1e-6,)
    sweeps: Annotated[int, Field(ge=0, le=100)] = 3
    bootstrap: Annotated[int, Field(ge=0, le=100_000)] = 200
