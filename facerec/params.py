"""params.yaml as typed, validated models: the one description of what an experiment may vary.

An unknown key, a wrong type or an impossible value raises `ParamsError` naming the key and what is
allowed. Facts of the machine (device, workers, mirrors) are not here: they must not change a hash.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from facerec.errors import ParamsError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
Share = Annotated[float, Field(gt=0, lt=1)]


MTCNN_WEIGHTS = "facerec/detection/mtcnn_weights.py"
DETECTOR_OPTIONS = {
    "mtcnn": ("min_face", "thresholds", "factor"),
    "retina-face": ("threshold", "upscale"),
    "retinaface-mnet0.25": ("threshold", "overlap", "max_side"),
    "retinaface-r50": ("threshold", "overlap", "max_side"),
}
"""Detector -> keys of `detect` that are its options, besides its weights."""
FRESH = "facerec/training/start.py"
"""What `train.init` says where training begins with new weights: the code that draws them."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Benchmark(_Strict):
    """A verification benchmark: a face set below data/faces/test and its list of pairs."""

    faces: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(/[A-Za-z0-9_]+)?$")]
    pairs: str


class Identification(_Strict):
    """A MegaFace-style benchmark: probe and distractor face sets and their lists of noise."""

    probes: Name
    distractors: Name
    probe_noises: str
    distractor_noises: str


class Detect(_Strict):
    """How faces are found; every face of every photo is recorded. Each detector has options of its own."""

    detector: Literal["mtcnn", "retina-face", "retinaface-mnet0.25", "retinaface-r50"] = "mtcnn"
    weights: str = MTCNN_WEIGHTS
    """File of the detector's weights. Those of mtcnn come with the package `mtcnn`, and this is what reads them."""
    min_face: Annotated[int, Field(ge=12, le=1000)] = 20
    thresholds: tuple[Share, Share, Share] = (0.6, 0.7, 0.7)
    factor: Annotated[float, Field(gt=0.3, lt=0.95)] = 0.709
    threshold: Share = 0.9
    overlap: Share = 0.4
    max_side: Annotated[int, Field(ge=32, le=8192)] = 2048
    upscale: bool = True
    retry: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Photos whose best face scores less are looked at again, resized and padded: 0 none, 1 all (tightly cropped)."""

    @model_validator(mode="after")
    def _options_are_the_detector_s(self) -> Detect:
        own = DETECTOR_OPTIONS[self.detector]
        for key in sorted(self.model_fields_set - {"detector", "weights", "retry"}):
            if key not in own:
                raise ValueError(f"{self.detector} has no {key}, remove it (its options: {', '.join(own)})")
        if (self.detector == "mtcnn") != (self.weights == MTCNN_WEIGHTS):
            needed = (
                f"{MTCNN_WEIGHTS}, which reads its package"
                if self.detector == "mtcnn"
                else "the file it needs"
            )
            raise ValueError(f"weights of {self.detector} must be {needed}, not {self.weights!r}")
        return self

    def options(self) -> dict[str, Any]:
        """The options that `facerec.detection.build` takes for this detector."""
        names = [*DETECTOR_OPTIONS[self.detector], *(["weights"] if self.detector != "mtcnn" else [])]
        return {name: getattr(self, name) for name in names}


def _sides(value: Any) -> int | tuple[int, int]:
    sides = list(value) if isinstance(value, list | tuple) else [value]
    if len(sides) > 2 or not all(type(side) is int and 16 <= side <= 1024 for side in sides):
        raise ValueError(f"must be a side of 16 to 1024 pixels, or [height, width], not {value!r}")
    return (sides[0], sides[1]) if len(sides) == 2 else int(sides[0])


class Align(_Strict):
    """Which face of a photo is kept, what is tried where there is none, and the crop made of it.

    Meanings as in facerec.enrolment.Options.
    """

    size: Annotated[int | tuple[int, int], PlainValidator(_sides)] = 112
    crop: Literal["template", "box"] = "template"
    margin: Annotated[float, Field(ge=0, le=10)] = 0.04
    rule: Literal["center", "largest", "score-area", "best-score", "annotated"] = "center"
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.0
    rungs: Annotated[
        tuple[Literal["detector", "retry", "low-score", "annotation", "crop"], ...], Field(min_length=1)
    ] = ("detector", "retry")
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    subsampling: Literal["yuv444", "yuv422", "yuv420"] = "yuv420"


class Schedule(_Strict):
    """Learning rate over training: warm-up from zero, then `factor` at each milestone, or a fall to zero.

    It goes by images, so it does not depend on how a batch is split over parts and processes.
    """

    name: Literal["multistep", "polynomial", "cosine"] = "multistep"
    unit: Literal["epochs", "steps"] = "epochs"
    """What `milestones` and `warmup` count; a step is `batch` images."""
    milestones: tuple[Annotated[float, Field(gt=0)], ...] = (8, 11)
    factor: Share = 0.1
    power: Annotated[float, Field(gt=0, le=10)] = 2.0
    """Of the polynomial."""
    warmup: Annotated[float, Field(ge=0)] = 0.5


class Sampler(_Strict):
    """Which faces make a batch: any, or `images` faces of each of batch / images identities."""

    name: Literal["shuffled", "balanced"] = "shuffled"
    images: Annotated[int, Field(ge=2, le=1000)] = 5


class Augment(_Strict):
    """Random changes of a training face besides `flip`; 0 leaves one out."""

    colour: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Brightness, contrast and saturation each change by a factor within 1 - colour .. 1 + colour."""
    low_resolution: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the faces that lose resolution."""
    crop: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the faces of which only a part is shown, the rest black."""


BACKBONES = (
    "mobilefacenet, resnet50, se-resnet101-ir, iresnet18/34/50/100/200[-se], ir50/100[-se] or timm/NAME"
)


class Backbone(_Strict):
    """The embedding network and the size of its output. Keys left out keep the family's own value."""

    name: str = "mobilefacenet"
    dim: Annotated[int, Field(ge=8, le=4096)] = 128
    width: Annotated[float, Field(gt=0, le=4)] | None = None
    """Channels of mobilefacenet, as a share of the published ones."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the last features that training hides, where the family has an E output."""

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        families = r"mobilefacenet|resnet50|se-resnet101-ir|iresnet(18|34|50|100|200)(-se)?|ir(50|100)(-se)?"
        if not re.fullmatch(rf"{families}|timm/[A-Za-z0-9_.]+", name):
            raise ValueError(f"{name!r} is no backbone; use {BACKBONES}")
        return name


class Head(_Strict):
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
    scale: Annotated[float, Field(gt=0, le=512)] = 64.0
    margin: Annotated[float, Field(ge=0, lt=3.1416)] = 0.5
    m1: Annotated[float, Field(gt=0, le=8)] | None = None
    m2: Annotated[float, Field(ge=0, lt=3.1416)] | None = None
    m3: Annotated[float, Field(ge=0, lt=2)] | None = None
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


class Train(_Strict):
    """The training recipe; all of it is hashed, none of it depends on the machine."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 12
    batch: Annotated[int, Field(ge=2, le=65_536)] = 128
    """Images of one update, over all parts and processes."""
    accumulate: Annotated[int, Field(ge=1, le=1024)] = 1
    """Parts that a batch goes through the network in, for want of memory; batch statistics are those of a part."""
    optimiser: Literal["sgd", "adamw"] = "sgd"
    lr: Annotated[float, Field(gt=0, le=10)] = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of SGD; the first beta of AdamW."""
    nesterov: bool = True
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 5e-4
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
    augment: Augment = Augment()
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    """RGB pixels in 0..255 become (x - mean) / std."""
    min_images: Annotated[int, Field(ge=1)] = 1
    """Identities with fewer faces are left out."""
    sampler: Sampler = Sampler()
    init: str = FRESH
    """Weights that training begins with: a backbone.pt, or the code that draws new ones."""
    schedule: Schedule = Schedule()
    backbone: Backbone = Backbone()
    head: Head = Head()

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


class Verify(_Strict):
    """The verification protocol, by its published name, and the headline false accept rate."""

    protocol: Literal["insightface", "concat-mean", "youden"] = "insightface"
    far: Share = 1e-3
    bootstrap: Annotated[int, Field(ge=2, le=100_000)] = 1000
    """Trials of the bootstrap over identities, from which intervals and bands come."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1


class Identify(_Strict):
    """Identification: noise removal, false positive rates, random subsets of the distractors, bootstrap.

    `sweeps` random orders of the distractors are cut into subsets of 10, 100, 1,000 ...; `bootstrap` is how often
    the identities are drawn for the 95 % bands; 0 leaves either out. `seed` is for the draws of all of these.
    """

    noise: Literal["published", "centre", "zero", "delete"] = "published"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    fprs: Annotated[tuple[Share, ...], Field(min_length=1)] = (1e-6,)
    sweeps: Annotated[int, Field(ge=0, le=100)] = 3
    bootstrap: Annotated[int, Field(ge=0, le=100_000)] = 200


class Params(_Strict):
    """The whole of params.yaml."""

    model: str
    networks: list[Name]
    download: dict[Name, dict[str, Any]]
    photos: dict[Name, Literal["train", "test"]]
    packs: list[Name]
    benchmarks: dict[Name, Benchmark]
    identification: dict[Name, Identification]
    detect: Detect
    align: Align
    train: Train
    verify: Verify
    identify: Identify

    @model_validator(mode="after")
    def _every_set_is_downloaded(self) -> Params:
        for key, names in (("photos", list(self.photos)), ("packs", self.packs)):
            for name in names:
                if name not in self.download:
                    raise ValueError(f"{key} names {name}, which download does not fetch")
        return self

    @model_validator(mode="after")
    def _weights_are_downloaded(self) -> Params:
        folder, _, rest = self.detect.weights.removeprefix("data/raw/").partition("/")
        if self.detect.weights.startswith("data/raw/") and not (rest and folder in self.download):
            raise ValueError(f"detect.weights is below data/raw/{folder}, which download does not fetch")
        return self

    @model_validator(mode="after")
    def _every_benchmark_has_faces(self) -> Params:
        for name, benchmark in self.benchmarks.items():
            if benchmark.faces.split("/")[0] not in {*self.packs, *self._test_photos}:
                raise ValueError(f"benchmarks.{name}.faces is neither a test set of photos nor of packs")
        for name, task in self.identification.items():
            for role in (task.probes, task.distractors):
                if role not in self._test_photos:
                    raise ValueError(f"identification.{name} uses {role}, which is no test set of photos")
        return self

    @model_validator(mode="after")
    def _model_exists(self) -> Params:
        trained = {f"models/{name}.pt" for name in self.networks}
        trained |= {f"models/{name}.onnx" for name in self.networks}
        allowed = trained | {f"data/raw/{name}" for name in self.download}
        if self.model not in allowed:
            raise ValueError(f"model must be one of {', '.join(sorted(allowed))}")
        return self

    @property
    def training_sets(self) -> list[str]:
        """Sets below data/faces/train/: photo sets of that split, then packs."""
        return [*(name for name, split in self.photos.items() if split == "train"), *self.packs]

    @property
    def _test_photos(self) -> set[str]:
        return {name for name, split in self.photos.items() if split == "test"}


def load(path: str | Path = "params.yaml") -> Params:
    """Read and validate a parameter file; ParamsError says which key is wrong and what is allowed."""
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(
            f"{path} is missing; run from the repository root or restore it from git."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    return parse(raw, str(path))


def parse(raw: Any, origin: str = "params") -> Params:
    """Validate the parsed form of a parameter file; `origin` names it in errors."""
    if not isinstance(raw, dict):
        raise ParamsError(f"{origin} must be a mapping of keys to values, not {type(raw).__name__}.")
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(_explain(problem) for problem in error.errors())
        raise ParamsError(f"{origin}: {problems}.") from error


def _explain(problem: ErrorDetails) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location) or "the file"
    if problem["type"] == "extra_forbidden":
        allowed = _keys_at(location[:-1])
        close = difflib.get_close_matches(location[-1], allowed, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return f"unknown key {key} ({hint}allowed: {', '.join(allowed)})"
    if problem["type"] == "missing":
        return f"key {key} is missing"
    text = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if problem["type"] == "value_error":
        return f"{key}: {text}" if location else text
    return f"{key} {text[:1].lower()}{text[1:]}, not {problem['input']!r}"


def _keys_at(location: list[str]) -> list[str]:
    """The keys the model at `location` knows; empty where any key goes."""
    model: Any = Params
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        if field is not None:  # else the part names an entry of a dict whose values are `model`
            model = (get_args(field.annotation) or [field.annotation])[-1]
    return sorted(getattr(model, "model_fields", {}))
