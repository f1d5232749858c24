"""Networks, losses and recipes: the parameters `train`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from facerec.params.fields import Share, Strict


class Schedule(Strict):
    """Learning rate over training: warm-up from zero, then `factor` at each milestone, or a fall to zero.

    It goes by images, so it does not depend on how a batch is split over parts and processes.
    """

    name: Literal["multistep", "polynomial", "cosine"] = "multistep"
    """"multistep": times `factor` at each milestone; "polynomial" and "cosine": a fall to zero at the end."""
    unit: Literal["epochs", "steps"] = "epochs"
    """What `milestones` and `warmup` count; a step is `batch` images."""
    milestones: tuple[Annotated[float, Field(gt=0)], ...] = (8, 11)
    """Of multistep."""
    factor: Share = 0.1
    """Of multistep."""
    power: Annotated[float, Field(gt=0, le=10)] = 2.0
    """Of the polynomial."""
    warmup: Annotated[float, Field(ge=0)] = 0.5
    """Length of the linear rise from zero at the start, 0 for none."""


class SamplerParams(Strict):
    """Which faces make a batch: any, or `images` faces of each of batch / images identities."""

    name: Literal["shuffled", "balanced"] = "shuffled"
    """"shuffled": every face once an epoch; "balanced": equally many faces of each identity in a batch."""
    images: Annotated[int, Field(ge=2, le=1000)] = 5
    """Of balanced: faces of an identity in a batch."""


class Augment(Strict):
    """Random changes of a training face besides `flip`; 0 leaves one out."""

    colour: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Brightness, contrast and saturation each change by a factor within 1 - colour .. 1 + colour."""
    low_resolution: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the faces that lose resolution."""
    crop: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the faces of which only a part is shown, the rest black."""


BACKBONES = (
    "mobilefacenet, mbf, iresnet18/34/50/100/152/200[-se/cam/sam/cbam], ir50/100/152[-se], se-resnet101-ir, "
    "attention56/92, resnet50 or timm/NAME"
)
_FAMILIES = (
    r"mobilefacenet|mbf|iresnet(18|34|50|100|152|200)(-(se|cam|sam|cbam))?|ir(50|100|152)(-se)?|se-resnet101-ir"
    r"|attention(56|92)|resnet50"
)


class Backbone(Strict):
    """The embedding network and the size of its output. Keys left out keep the family's own value."""

    name: Annotated[str, Field(description=f"{BACKBONES}.")] = "mobilefacenet"
    dim: Annotated[int, Field(ge=8, le=4096)] = 128
    """Length of an embedding."""
    width: Annotated[float, Field(gt=0, le=4)] | None = None
    """Channels of mobilefacenet and mbf, as a share of the published ones."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the last features that training hides, where the family has an E output."""

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if not re.fullmatch(rf"{_FAMILIES}|timm/[A-Za-z0-9_.]+", name):
            raise ValueError(f"{name!r} is no backbone; use {BACKBONES}")
        return name


class HeadParams(Strict):
    """The loss; scale s, margin m (facerec/heads says what m is in each). Keys left out keep the published value."""

    name: Literal[
        "adacos",
        "adaface",
        "arcface",
        "circle",
        "combined",
        "cosface",
        "curricularface",
        "magface",
        "multiface",
        "normface",
        "softmax",
        "sphereface",
        "subcenter-arcface",
        "triplet",
        "uniface",
    ] = "arcface"
    """The loss, by its published name."""
    scale: Annotated[float, Field(gt=0, le=512)] | None = None
    """s: cosines are multiplied by it before softmax."""
    margin: Annotated[float, Field(ge=0, lt=3.1416)] | None = None
    """m: added to the angle (radians) or taken from the cosine, as the loss says."""
    m1: Annotated[float, Field(gt=0, le=8)] | None = None
    """Of combined: factor of the angle."""
    m2: Annotated[float, Field(ge=0, lt=3.1416)] | None = None
    """Of combined: added to the angle, in radians."""
    m3: Annotated[float, Field(ge=0, lt=2)] | None = None
    """Of combined: taken from the cosine."""
    multiplier: Annotated[int, Field(ge=1, le=8)] | None = None
    """SphereFace's m."""
    centres: Annotated[int, Field(ge=1, le=64)] | None = None
    """Centres a class of sub-center ArcFace."""
    slices: Annotated[int, Field(ge=1, le=64)] | None = None
    """Parts of MultiFace."""
    inner: Literal["arcface", "cosface", "normface"] | None = None
    """Margin inside MultiFace."""
    renormalise: bool | None = None
    """Whether MultiFace gives every slice length one."""
    metric: Literal["euclidean", "angular"] | None = None
    """Distance of the triplet loss."""
    rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the class centres that a step uses (Partial FC), for heads with a margin on the own class."""
    lean: bool = False
    """Whether the centres are walked in blocks, for want of memory; the same loss up to rounding."""


class Validation(Strict):
    """Benchmarks judged while the network trains, and by which the best weights are kept beside the last ones."""

    faces: str | None = None
    """A folder of face sets with pairs below data/faces/test, such as that of a pack; null for no validation."""
    sets: tuple[str, ...] = ()
    """Names of the sets in that folder; all of them where none is named."""
    every: Annotated[int, Field(ge=1)] = 2000
    """Steps between two looks; the last step is always looked at."""


class Train(Strict):
    """The training recipe; all of it is hashed, none of it depends on the machine."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Of the weights, the order of the faces and their augmentation."""
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 12
    """How often every face is seen."""
    batch: Annotated[int, Field(ge=2, le=65_536)] = 128
    """Images of one update, over all parts and processes."""
    accumulate: Annotated[int, Field(ge=1, le=1024)] = 1
    """Parts that a batch goes through the network in, for want of memory; batch statistics are those of a part."""
    optimiser: Literal["sgd", "adamw"] = "sgd"
    """SGD or AdamW."""
    lr: Annotated[float, Field(gt=0, le=10)] = 0.1
    """Highest learning rate."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of SGD; the first beta of AdamW."""
    nesterov: bool = True
    """Whether SGD looks ahead."""
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 5e-4
    """L2 penalty of SGD, decoupled in AdamW; see `output_decay`, `head_decay` and `decay_all`."""
    output_decay: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Factor of weight_decay for the layer that makes the embedding."""
    head_decay: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Factor of weight_decay for the head."""
    decay_all: bool = False
    """Whether biases, norms and PReLU slopes decay too."""
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    """Greatest norm of the whole gradient, 0 for none."""
    clip_value: Annotated[float, Field(ge=0)] = 0.0
    """Greatest absolute value of each gradient's elements, 0 for none."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the moving average of the weights that is kept instead of the last ones, 0 for none."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """What the network computes in; weights and heads stay float32."""
    compile: bool = False
    """torch.compile: faster on GPUs, other bits."""
    flip: bool = True
    """Whether faces are mirrored at random."""
    augment: Augment = Augment()
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    """Of RGB pixels, see `std`."""
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    """RGB pixels in 0..255 become (x - mean) / std."""
    min_images: Annotated[int, Field(ge=1)] = 1
    """Identities with fewer faces are left out."""
    sampler: SamplerParams = SamplerParams()
    init: str | None = None
    """A backbone.pt whose weights training starts from; null for random weights."""
    validation: Validation = Validation()
    schedule: Schedule = Schedule()
    backbone: Backbone = Backbone()
    head: HeadParams = HeadParams()

    @model_validator(mode="after")
    def _batch_can_be_split(self) -> Train:
        images = self.sampler.images if self.sampler.name == "balanced" else 1
        if self.batch % (self.accumulate * images):
            raise ValueError(
                f"batch {self.batch} must be a multiple of {self.accumulate * images} (accumulate times "
                "the balanced sampler's images)"
            )
        if self.optimiser == "sgd" and self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum; set nesterov to false")
        return self
