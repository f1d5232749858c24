"""The whole of params.yaml, and what its parts must agree on."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from facerec.params.evaluation import Benchmark, Identification, Identify, Verify
from facerec.params.faces import Align, Detect
from facerec.params.fields import Name, Strict
from facerec.params.training import Train

_TEST_FACES = "data/faces/test"


class Params(Strict):
    """The whole of params.yaml."""

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
    detect: Detect
    align: Align
    train: Train
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
    def _validation_has_faces(self) -> Params:
        watched = self.train.validation.faces
        if watched is None:
            return self
        below = watched.removeprefix(f"{_TEST_FACES}/").split("/")[0]
        if not (watched.startswith(f"{_TEST_FACES}/") and below in self.packs):
            raise ValueError(
                f"train.validation.faces {watched} must be {_TEST_FACES}/PACK with one of packs "
                f"({', '.join(self.packs) or 'none here'}), or null for no validation"
            )
        return self

    @model_validator(mode="after")
    def _model_exists(self) -> Params:
        trained = {f"models/{name}{end}" for name in self.networks for end in (".pt", "_best.pt", ".onnx")}
        allowed = trained | {f"data/raw/{name}" for name in self.download}
        if self.model not in allowed:
            raise ValueError(f"model must be one of {', '.join(sorted(allowed))}")
        return self

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
