"""The parameters `train`: network, loss and training recipe; and the base class of all parameters."""

from __future__ import annotations

import ast
import inspect
import re
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
Share = Annotated[float, Field(gt=0, lt=1)]


class Strict(BaseModel):
    """An immutable model that rejects unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    later: ClassVar[tuple[str, ...]] = ()
    """Keys added later: where they have their default they are not written, so that reports keep their bytes."""

    @classmethod
    def __get_pydantic_json_schema__(cls, known: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """With the docstrings of the keys, which pydantic would look for in every process that imports this."""
        schema = handler(known)
        properties = handler.resolve_ref_schema(schema)["properties"]
        (body,) = (node.body for node in ast.parse(inspect.getsource(cls)).body if isinstance(node, ast.ClassDef))
        for key, said in pairwise(body):
            if isinstance(key, ast.AnnAssign) and isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant):
                name, text = ast.unparse(key.target), inspect.cleandoc(str(said.value.value))
                properties.get(name, {}).setdefault("description", text)
        return schema

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = plain(self)
        fields = type(self).model_fields
        return {
            key: value
            for key, value in written.items()
            if key not in self.later or getattr(self, key) != fields[key].get_default()
        }


class Schedule(Strict):
    """Learning rate schedule: linear warm-up from zero, then times `factor` at each milestone, or a decay to zero.

    It counts images, so it does not depend on how a batch is split over parts and processes.
    """

    name: Literal["multistep", "polynomial", "cosine"] = "multistep"
    """"multistep": times `factor` at each milestone; "polynomial" and "cosine": decay to zero at the end."""
    unit: Literal["epochs", "steps"] = "epochs"
    """Unit of `milestones` and `warmup`; a step is `batch` images."""
    milestones: tuple[Annotated[float, Field(gt=0)], ...] = (8, 11)
    """Positions of the drops, for multistep."""
    factor: Share = 0.1
    """Factor at each milestone, for multistep."""
    power: Annotated[float, Field(gt=0, le=10)] = 2.0
    """Exponent, for polynomial."""
    warmup: Annotated[float, Field(ge=0)] = 0.5
    """Length of the warm-up, 0 for none."""


class SamplerParams(Strict):
    """Composition of a batch: any faces, or `images` faces of each of batch / images identities."""

    name: Literal["shuffled", "balanced"] = "shuffled"
    """"shuffled": every face once per epoch; "balanced": equally many faces of each identity in a batch."""
    images: Annotated[int, Field(ge=2, le=1000)] = 5
    """Faces of an identity in a batch, for balanced."""


class Augment(Strict):
    """Augmentation of training faces besides `flip`; 0 switches one off."""

    colour: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Brightness, contrast and saturation are each multiplied by a factor in 1 - colour .. 1 + colour."""
    low_resolution: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the faces that are resized down and back."""
    crop: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the faces of which only a box is kept, the rest black."""
    affine: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How far four of five faces are turned, resized, stretched and moved: at 1 by up to 20 degrees, a fifth, a tenth and
    6 % of the side."""


BACKBONES = (
    "mobilefacenet[-relu6], mbf[-large], iresnet18/34/50/100/152/200[-se/cam/sam/cbam], ir50/100/152[-se], "
    "adaface-ir18/34/50/100/152/200[-se/cam/sam/cbam], magface-iresnet18/34/50/100/152/200, "
    "[se-]resnet18/34/101/152-ir, attention56/92[-summed], vit-t/s/b/l, resnet10/50 or timm/NAME"
)
_FAMILIES = (
    r"mobilefacenet(-relu6)?|mbf(-large)?|(iresnet|adaface-ir)(18|34|50|100|152|200)(-(se|cam|sam|cbam))?"
    r"|ir(50|100|152)(-se)?|magface-iresnet(18|34|50|100|152|200)|(se-)?resnet(18|34|101|152)-ir"
    r"|attention(56|92)(-summed)?|vit-[tsbl]|resnet(10|50)"
)


class Backbone(Strict):
    """The embedding network and the size of its output. Keys left out have the default of the family."""

    later = ("depth",)

    name: Annotated[str, Field(description=f"{BACKBONES}.")] = "mobilefacenet"
    dim: Annotated[int, Field(ge=8, le=4096)] = 128
    """Length of an embedding."""
    width: Annotated[float, Field(gt=0, le=4)] | None = None
    """Factor of the published numbers of channels, for mobilefacenet, mbf and resnet10."""
    depth: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the published blocks with a shortcut, for mobilefacenet and mbf; of those of `init`, if there is one."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout before the linear layer of the E output, for families that have one."""

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if not re.fullmatch(rf"{_FAMILIES}|timm/[A-Za-z0-9_.]+", name):
            raise ValueError(f"{name!r} is no backbone; use {BACKBONES}")
        return name


class HeadParams(Strict):
    """The loss, with scale s and margin m (see facerec/heads). Keys left out have the published value."""

    later = ("easy_margin",)

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
    """s: factor of the cosines before softmax."""
    margin: Annotated[float, Field(ge=0, lt=3.1416)] | None = None
    """m: added to the angle (radians) or subtracted from the cosine, depending on the loss."""
    m1: Annotated[float, Field(gt=0, le=8)] | None = None
    """Factor of the angle, for combined."""
    m2: Annotated[float, Field(ge=0, lt=3.1416)] | None = None
    """Added to the angle, in radians, for combined."""
    m3: Annotated[float, Field(ge=0, lt=2)] | None = None
    """Subtracted from the cosine, for combined."""
    multiplier: Annotated[int, Field(ge=1, le=8)] | None = None
    """Factor of the angle, for sphereface."""
    centres: Annotated[int, Field(ge=1, le=64)] | None = None
    """Centres per class, for subcenter-arcface."""
    slices: Annotated[int, Field(ge=1, le=64)] | None = None
    """Slices of the embedding, for multiface."""
    inner: Literal["arcface", "cosface", "normface"] | None = None
    """Margin used in the slices, for multiface."""
    renormalise: bool | None = None
    """Whether every slice is normalised, for multiface."""
    metric: Literal["euclidean", "angular"] | None = None
    """Distance, for triplet."""
    easy_margin: bool | None = None
    """Whether faces over 90 degrees from their centre have no margin, for magface; its published code does so."""
    rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the class centres that a step uses (Partial FC), for heads with a margin on the own class."""
    chunked: bool = False
    """Whether the loss is computed in chunks of classes to save memory; equal up to rounding."""


class Freeze(Strict):
    """Parts of the network that are not trained, for a network that knows faces already."""

    parts: tuple[str, ...] = ()
    """Names of parts, such as stem, body or body.0; their weights and running statistics stay as they are."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Epochs after which they are trained too; null for never."""


class Validation(Strict):
    """Benchmarks evaluated during training; the best weights by them are kept beside the last ones."""

    later = ("pairs",)

    faces: str | None = None
    """A folder of face sets with pairs below data/faces/test, such as that of a pack, or with `pairs` a photo set; null
    for no validation."""
    pairs: str | None = None
    """List of the pairs of `faces`, such as data/raw/lfw/pairs.txt; null where they lie beside the faces."""
    sets: tuple[str, ...] = ()
    """Names of sets in that folder; all if empty."""
    every: Annotated[int, Field(ge=1)] = 2000
    """Steps between two validations; the last step is always validated."""


class Train(Strict):
    """The training recipe; all of it is hashed, none of it depends on the machine."""

    later = ("merge", "products", "deterministic", "exclude", "teacher", "teacher_weight", "head_weight")

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Seed of the initial weights, the order of the faces and their augmentation."""
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 12
    """Number of passes over the faces."""
    batch: Annotated[int, Field(ge=2, le=65_536)] = 128
    """Images per update, over all parts and processes."""
    accumulate: Annotated[int, Field(ge=1, le=1024)] = 1
    """Parts in which a batch passes the network, to save memory; batch statistics are those of a part."""
    optimiser: Literal["sgd", "adamw"] = "sgd"
    """Optimiser: SGD or AdamW."""
    lr: Annotated[float, Field(gt=0, le=10)] = 0.1
    """Highest learning rate."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of SGD; the first beta of AdamW."""
    nesterov: bool = True
    """Whether the momentum of SGD is Nesterov's."""
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 5e-4
    """L2 penalty of SGD, decoupled in AdamW; see `output_decay`, `head_decay` and `decay_all`."""
    output_decay: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Factor of weight_decay for the layer that computes the embedding."""
    head_decay: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Factor of weight_decay for the head."""
    decay_all: bool = False
    """Whether weight decay includes biases, norms and PReLU slopes."""
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    """Maximum norm of the whole gradient, 0 for none."""
    clip_value: Annotated[float, Field(ge=0)] = 0.0
    """Maximum absolute value of each element of a gradient, 0 for none."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of a moving average of the weights, which is saved instead of the last weights; 0 for none."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of the network's computation; weights and heads stay float32."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 2
    """Threads that compute on the CPU, on every machine, since sums depend on their number; a GPU ignores it."""
    compile: bool = False
    """Whether to use torch.compile: faster on GPUs, with different bits."""
    products: Literal["highest", "high", "medium"] = "highest"
    """Precision of float32 matrix products on GPUs, those with the class centres above all: "high" is TF32, "medium" may
    be bfloat16 (torch.set_float32_matmul_precision)."""
    deterministic: bool = True
    """Whether equal runs on one GPU give equal bits; false lets it take the fastest algorithms. A CPU ignores it."""
    flip: bool = True
    """Whether faces are mirrored at random."""
    augment: Augment = Augment()
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    """Mean of RGB pixels, see `std`."""
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    """RGB pixels in 0..255 become (x - mean) / std."""
    min_images: Annotated[int, Field(ge=1)] = 1
    """Identities with fewer faces are left out."""
    merge: Literal["sets", "names"] = "sets"
    """Who is one class: "sets": every set has people of its own; "names": equal names in several sets are one person."""
    exclude: str | None = None
    """Decisions about faces that are left out or merged: a file, or a folder such as data/decisions; null for none."""
    sampler: SamplerParams = SamplerParams()
    init: str | None = None
    """A network to start from: a backbone.pt, or published weights of a known layout or their folder; null for random
    weights."""
    freeze: Freeze = Freeze()
    backbone_rate: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Factor of the learning rate for the network, which the head does without; such as 0.1 to fine-tune."""
    teacher: str | None = None
    """A network whose embeddings are imitated (distillation): any that `facerec embed` takes, by its path; null for none."""
    teacher_weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Factor of the teacher's loss, 1 - cosine, which is added to that of the head."""
    head_weight: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """With a teacher: factor of the head's loss; 0 for no head, so that identities do not matter."""
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
        if self.teacher is None and (self.teacher_weight, self.head_weight) != (1.0, 1.0):
            raise ValueError("teacher_weight and head_weight are for training with a teacher, and teacher is null")
        return self
