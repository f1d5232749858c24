"""The whole of params.yaml: detection, alignment, benchmarks, and what its parts must agree on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, ValidationError, WithJsonSchema, field_validator, model_validator

from facerec.params.training import Name, Share, Strict, Train

_TEST_FACES = "data/faces/test"

DETECTOR_OPTIONS = {
    "mtcnn": ("min_face", "thresholds", "factor"),
    "retina-face": ("threshold", "upscale"),
    "retinaface-mnet0.25": ("threshold", "overlap", "max_side", "engine"),
    "retinaface-r50": ("threshold", "overlap", "max_side", "engine"),
}
"""Detector -> keys of `detect` that are its options, besides its weights."""


class Detect(Strict):
    """How faces are found; every face of every photo is recorded. Each detector has options of its own."""

    detector: Literal["mtcnn", "retina-face", "retinaface-mnet0.25", "retinaface-r50"] = "mtcnn"
    """Which detector; docs/detection.md says how well each does."""
    weights: str | None = None
    """File of the detector's weights; null for mtcnn, whose weights come with the package `mtcnn`."""
    min_face: Annotated[int, Field(ge=12, le=1000)] = 20
    """Of mtcnn: side in pixels of the smallest face looked for; time grows with its inverse square."""
    thresholds: tuple[Share, Share, Share] = (0.6, 0.7, 0.7)
    """Of mtcnn: probability that a face needs after each of the three networks."""
    factor: Annotated[float, Field(gt=0.3, lt=0.95)] = 0.709
    """Of mtcnn: ratio of neighbouring scales of the pyramid."""
    threshold: Share = 0.9
    """Of the RetinaFaces: probability that a face needs."""
    overlap: Share = 0.4
    """Of retinaface-mnet0.25 and -r50: IoU above which the lower of two boxes is dropped."""
    max_side: Annotated[int, Field(ge=32, le=8192)] = 2048
    """Of retinaface-mnet0.25 and -r50: photos with a longer side are reduced to it."""
    engine: Literal["torch", "onnxruntime"] = "torch"
    """Of retinaface-mnet0.25 and -r50: what runs the network; onnxruntime is faster, with bytes of its own."""
    upscale: bool = True
    """Of retina-face: whether photos with a short side below 1024 pixels are enlarged to it."""
    retry: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Photos whose best face scores less are looked at again, resized and padded: 0 none, 1 all (tightly cropped)."""

    @model_validator(mode="after")
    def _options_are_the_detector_s(self) -> Detect:
        own = DETECTOR_OPTIONS[self.detector]
        for key in sorted(self.model_fields_set - {"detector", "weights", "retry"}):
            if key not in own:
                raise ValueError(f"{self.detector} has no {key}, remove it (its options: {', '.join(own)})")
        if (self.detector == "mtcnn") != (self.weights is None):
            needed = "null, since they come with its package" if self.detector == "mtcnn" else "a file"
            raise ValueError(f"weights of {self.detector} must be {needed}, not {self.weights or 'null'}")
        return self

    def options(self) -> dict[str, Any]:
        """The options that `facerec.detection.build_detector` takes for this detector."""
        names = [*DETECTOR_OPTIONS[self.detector], *(["weights"] if self.detector != "mtcnn" else [])]
        return {name: getattr(self, name) for name in names}


def _sides(value: Any) -> int | tuple[int, int]:
    sides = list(value) if isinstance(value, list | tuple) else [value]
    if len(sides) > 2 or not all(type(side) is int and 16 <= side <= 1024 for side in sides):
        raise ValueError(f"must be a side of 16 to 1024 pixels, or [height, width], not {value!r}")
    return (sides[0], sides[1]) if len(sides) == 2 else int(sides[0])


_SIDE = {"type": "integer", "minimum": 16, "maximum": 1024}
_SIDES = {"anyOf": [_SIDE, {"type": "array", "prefixItems": [_SIDE, _SIDE]}]}


class Align(Strict):
    """Which face of a photo is kept, what is tried where there is none, and the crop made of it."""

    size: Annotated[int | tuple[int, int], PlainValidator(_sides), WithJsonSchema(_SIDES)] = 112
    """Side of the crop in pixels, or [height, width]."""
    crop: Literal["template", "box"] = "template"
    """"template": landmarks are brought to the five-point template; "box": the box with `margin`, upright."""
    margin: Annotated[float, Field(ge=0, le=10)] = 0.04
    """Share of a box's sides added around it, half on each side, wherever a box is cut."""
    rule: Literal["center", "largest", "score-area", "best-score", "annotated"] = "center"
    """Which of several faces is kept; "annotated" is the one that fits an annotated box or landmarks best."""
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The fallbacks "detector" and "retry" take faces of this score or more, "low-score" the others."""
    fallbacks: Annotated[
        tuple[Literal["detector", "retry", "low-score", "annotation", "crop"], ...], Field(min_length=1)
    ] = ("detector", "retry")
    """Where the face comes from, tried in this order; a photo without any is left out, and counted."""
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    """JPEG quality of the crops."""
    subsampling: Literal["yuv444", "yuv422", "yuv420"] = "yuv420"
    """JPEG subsampling of colour."""

    @field_validator("fallbacks", mode="before")
    @classmethod
    def _fallbacks_are_named_once(cls, value: Any) -> Any:
        if isinstance(value, list | tuple) and (not value or len(set(map(str, value))) < len(value)):
            raise ValueError("name at least one fallback, and each only once")
        return value


class PerSet(Strict):
    """What one photo set needs otherwise than `detect` and `align` say; the detector and the size are the same for all."""

    detect: dict[str, Any] = Field(default={})
    """Keys of `detect`, such as retry, besides detector and weights."""
    align: dict[str, Any] = Field(default={})
    """Keys of `align`, such as fallbacks, besides size."""

    @model_validator(mode="after")
    def _some_keys_are_for_all_sets(self) -> PerSet:
        for section, own, shared in (
            ("detect", self.detect, ("detector", "weights")),
            ("align", self.align, ("size",)),
        ):
            for key in shared:
                if key in own:
                    raise ValueError(f"{section}.{key} is the same for all sets; set it below {section}")
        return self


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


class Quality(Strict):
    """What rates the faces of a verification benchmark, for its error-versus-reject curves."""

    table: str | None = None
    """Table with a column `photo` and one of qualities; null for the length of the embeddings."""
    column: str = "quality"
    """Column of that table; higher is better."""


class OpenSetTask(Strict):
    """An open-set protocol over the embeddings of a verification benchmark; docs/benchmarks.md describes them."""

    benchmark: Name
    """One of `benchmarks`, whose embeddings are measured; it must hold all photos of the protocol."""
    protocol: Literal["blufr", "best-rowden-closed", "best-rowden-open", "drawn", "all-pairs"]
    """The first three are published for LFW; "drawn" and "all-pairs" are for any set whose people are known."""
    lists: str | None
    """Folder of the lists of a published protocol, data/raw/lfw_protocols; null for the other two. It must be written."""
    fusion: Literal["max", "mean"] = "max"
    """Several photos of a person in the gallery: the best of their scores, or one template of their mean."""
    gallery: Annotated[int, Field(ge=1, le=1000)] = 1
    """Of drawn: photos of each enrolled person."""
    trials: Annotated[int, Field(ge=1, le=1000)] = 10
    """Of drawn: how many trials."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Of drawn: seed of the trials."""

    @model_validator(mode="after")
    def _lists_belong_to_published_protocols(self) -> OpenSetTask:
        if (self.protocol in ("drawn", "all-pairs")) != (self.lists is None):
            needed = "a folder of its lists, such as data/raw/lfw_protocols" if self.lists is None else "null"
            raise ValueError(f"lists of {self.protocol} must be {needed}")
        return self


class Embed(Strict):
    """How the network `model` is run when benchmarks are embedded."""

    engine: Literal["torch", "fused", "bf16", "onnxruntime"] = "torch"
    """What runs the network; the others are faster, with bytes of their own (docs/speed.md). ONNX files need torch."""


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


class Params(Strict):
    """The whole of params.yaml."""

    later = ("per_set",)

    model: str
    """The network that benchmarks measure: models/NETWORK.pt or .onnx of `networks`, or data/raw/ENTRY of `download`."""
    networks: list[Name]
    """Networks to train, each with the recipe `train`; empty where a published one is measured."""
    render: dict[Name, dict[str, Any]]
    """Rendered sets of data/catalog, each with the options that override its own."""
    download: dict[Name, dict[str, Any]]
    """Other entries of data/catalog: sets, models and weights to download. They take no options."""
    photos: dict[Name, Literal["train", "test"]]
    """Photo sets to detect and align, and what for: "train", or "test" for benchmarks."""
    packs: list[Name]
    """Packs of aligned faces to unpack: train.rec for training, each verification pack for benchmarks."""
    benchmarks: dict[Name, Benchmark]
    """Verification benchmarks by name."""
    identification: dict[Name, Identification]
    """MegaFace-style benchmarks by name."""
    attributes: dict[Name, str] = Field(default={})
    """Verification benchmarks to split by groups: a table with a column photo or identity, or a folder of lists, each."""
    quality: dict[Name, Quality] = Field(default={})
    """Verification benchmarks whose faces are rated: error-versus-reject curves in the report."""
    openset: dict[Name, OpenSetTask] = Field(default={})
    """Open-set protocols by a name that no benchmark has, over the embeddings of benchmarks."""
    per_set: dict[Name, PerSet] = Field(default={})
    """What some photo sets need otherwise than `detect` and `align` say; DVC needs an entry, perhaps {}, for each set."""
    detect: Detect
    align: Align
    train: Train
    embed: Embed
    verify: Verify
    identify: Identify

    @model_validator(mode="after")
    def _every_set_has_a_source(self) -> Params:
        for name in self.render:
            if name in self.download:
                raise ValueError(f"{name} stands below both render and download")
        for key, names in (("photos", list(self.photos)), ("packs", self.packs)):
            for name in names:
                if name not in self.entries:
                    raise ValueError(f"{key} names {name}, which stands below neither render nor download")
        return self

    @model_validator(mode="after")
    def _weights_are_downloaded(self) -> Params:
        weights = self.detect.weights or ""
        folder, _, rest = weights.removeprefix("data/raw/").partition("/")
        if weights.startswith("data/raw/") and not (rest and folder in self.download):
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
    def _attributes_and_quality_are_of_a_benchmark(self) -> Params:
        for key, names in (("attributes", self.attributes), ("quality", self.quality)):
            for name in names:
                if name not in self.benchmarks:
                    raise ValueError(f"{key}.{name} is not the name of one of benchmarks")
        return self

    @model_validator(mode="after")
    def _every_open_set_has_embeddings(self) -> Params:
        for name, task in self.openset.items():
            if task.benchmark not in self.benchmarks:
                raise ValueError(f"openset.{name}.benchmark {task.benchmark} is none of benchmarks")
            if name in {*self.benchmarks, *self.identification}:
                raise ValueError(f"openset.{name} has the name of another benchmark; give it one of its own")
            folder = (task.lists or "").removeprefix("data/raw/")
            if folder and folder != task.lists and folder not in self.entries:
                raise ValueError(f"openset.{name}.lists is data/raw/{folder}, which download does not fetch")
        return self

    @model_validator(mode="after")
    def _validation_has_faces(self) -> Params:
        watched = self.train.validation.faces
        if watched is None:
            return self
        below = watched.removeprefix(f"{_TEST_FACES}/").split("/")[0]
        known = self.packs if self.train.validation.pairs is None else sorted({*self.packs, *self._test_photos})
        if not (watched.startswith(f"{_TEST_FACES}/") and below in known):
            what = (
                "one of packs" if self.train.validation.pairs is None else "one of packs or of the test sets of photos"
            )
            raise ValueError(
                f"train.validation.faces {watched} must be {_TEST_FACES}/SET with {what} "
                f"({', '.join(known) or 'none here'}), or null for no validation; a set of photos needs "
                "train.validation.pairs"
            )
        return self

    @field_validator("per_set", mode="after")
    @classmethod
    def _sets_like_the_others_are_left_out(cls, value: dict[str, PerSet]) -> dict[str, PerSet]:
        return {name: each for name, each in value.items() if each != PerSet()}

    @model_validator(mode="after")
    def _per_set_is_of_photos(self) -> Params:
        for name in self.per_set:
            if name not in self.photos:
                raise ValueError(f"per_set.{name} is none of photos")
            for key, build in (("detect", self.detect_of), ("align", self.align_of)):
                try:
                    build(name)
                except ValidationError as error:
                    problem = error.errors()[0]
                    where = ".".join(map(str, problem["loc"])) or "its keys"
                    raise ValueError(f"per_set.{name}.{key}, {where}: {problem['msg']}") from error
        return self

    @model_validator(mode="after")
    def _model_exists(self) -> Params:
        trained = {f"models/{name}{end}" for name in self.networks for end in (".pt", "_best.pt", ".onnx")}
        allowed = trained | {f"data/raw/{name}" for name in self.download}
        if self.model not in allowed:
            raise ValueError(f"model must be one of {', '.join(sorted(allowed))}")
        return self

    def detect_of(self, name: str) -> Detect:
        """How faces are found in the photo set `name`."""
        own = self.per_set[name].detect if name in self.per_set else {}
        return Detect(**{key: getattr(self.detect, key) for key in self.detect.model_fields_set} | own)

    def align_of(self, name: str) -> Align:
        """How the faces of the photo set `name` are cut."""
        own = self.per_set[name].align if name in self.per_set else {}
        return Align(**{key: getattr(self.align, key) for key in self.align.model_fields_set} | own)

    @property
    def entries(self) -> dict[str, dict[str, Any]]:
        """Catalog entries of the run, below data/raw/, and their options: rendered ones, then downloaded ones."""
        return {**self.render, **self.download}

    @property
    def training_sets(self) -> list[str]:
        """Sets below data/faces/train/: photo sets of that split, then packs."""
        return [*(name for name, split in self.photos.items() if split == "train"), *self.packs]

    @property
    def _test_photos(self) -> set[str]:
        return {name for name, split in self.photos.items() if split == "test"}
