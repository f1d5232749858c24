"""Parameters of the benchmarks: `benchmarks`, `identification`, `verify` and `identify`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from facerec.params.fields import Name, Share, Strict


class Benchmark(Strict):
    """A verification benchmark: a face set below data/faces/test and its list of pairs."""

    faces: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(/[A-Za-z0-9_]+)?$")]
    """Face set below data/faces/test/: a photo set of that split, or PACK/MEMBER of a pack."""
    pairs: str
    """List of pairs: LFW's pairs.txt, a table of row numbers, or any other form that `facerec verify` reads."""


class Identification(Strict):
    """A MegaFace-style benchmark: probe and distractor face sets and their lists of noise."""

    probes: Name
    """Test set of photos of known people."""
    distractors: Name
    """Test set of photos of strangers."""
    probe_noises: str
    """List of mislabelled probes, in the published form."""
    distractor_noises: str
    """List of distractors that show people of the probes, in the published form."""


class Verify(Strict):
    """The verification protocol, by its published name, and the headline false accept rate."""

    protocol: Literal["insightface", "concat-mean", "youden"] = "insightface"
    """Rules by which thresholds and accuracy are found; metrics of different protocols are not comparable."""
    far: Share = 1e-3
    """False accept rate at which the headline TAR is given."""
    bootstrap: Annotated[int, Field(ge=2, le=100_000)] = 1000
    """Trials of the bootstrap over identities, for intervals and bands."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Of the bootstrap."""


class Identify(Strict):
    """Identification: noise removal, false positive rates, random subsets of the distractors, bootstrap."""

    noise: Literal["published", "centre", "zero", "delete"] = "published"
    """What replaces the rows of listed noise: InsightFace's published way, the person's centre, zeros, or nothing."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Of the published noise removal, the random subsets and the bootstrap."""
    fprs: Annotated[tuple[Share, ...], Field(min_length=1)] = (1e-6,)
    """False positive rates at which TPR is given."""
    sweeps: Annotated[int, Field(ge=0, le=100)] = 3
    """Random orders of the distractors, each cut into subsets of 10, 100, 1,000 ...; 0 for none."""
    bootstrap: Annotated[int, Field(ge=0, le=100_000)] = 200
    """Trials of the bootstrap over identities for the 95 % bands; 0 for none."""
