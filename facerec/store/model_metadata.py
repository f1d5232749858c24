"""Metadata stored with the weights of a network: the preprocessing of its faces, and its training sets.

Training, embedding and export all prepare pixels through `Preprocessing.apply`, so a network only sees the inputs
it was made for, and faces of the wrong size or template are refused. The training sets are kept in backbone.pt and in
the ONNX export, so that either file by itself tells whether the network has seen rendered faces only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from facerec.core import FormatError
from facerec.store.shards import LONGEST_SIDE, Meta, reduction

if TYPE_CHECKING:  # the catalog reads these records too, and has no need of torch
    from torch import Tensor

Flip = Literal["none", "sum", "sum-normalised", "concat"]
"""How the embeddings f(x) of a face and f(x') of its mirror image become one: f(x) alone, their sum, the
sum of both divided by their norms, or both one after the other."""

_LARGEST = 1e6  # mean or std; more overflow float32 or leave nothing of the pixels


@dataclass(frozen=True)
class Preprocessing:
    """The way from an aligned RGB face to the input of a network: crop, channel order, (x - mean) / std.

    >>> Preprocessing(crop=(8, 104)).input_size
    (112, 96)
    """

    size: tuple[int, int] = (112, 112)
    """(height, width) in pixels of the aligned faces it takes."""
    template: str = "arcface-112"
    """Alignment of those faces."""
    crop: tuple[int, int] | None = None
    """First and one past the last column the network sees; None for all."""
    colour: Literal["RGB", "BGR"] = "RGB"
    """Channel order the network was trained with."""
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    """Subtracted a channel, in 0..255 units and in the order of `colour`."""
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    """Divided by a channel, in 0..255 units and in the order of `colour`."""
    flip: Flip = "sum"
    normalised: bool | None = None
    """Whether embeddings are divided by their norms before those of a face and its mirror image become one. It has to
    be said for weights that are published for networks of both kinds."""

    # Read by pydantic, which ignores neither unknown keys nor text where numbers belong.
    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    def __post_init__(self) -> None:
        if not all(0 < side <= LONGEST_SIDE for side in self.size):
            raise FormatError(f"Faces of {self.size[0]}x{self.size[1]} pixels are impossible; correct the size.")
        if not all(abs(value) <= _LARGEST for value in (*self.mean, *self.std)):
            raise FormatError(f"The mean {self.mean} and std {self.std} are not for pixels in 0..255.")
        if self.crop is not None and not 0 <= self.crop[0] < self.crop[1] <= self.size[1]:
            raise FormatError(f"The columns {self.crop} are not inside faces {self.size[1]} pixels wide.")
        if not all(value > 0 for value in self.std):
            raise FormatError(f"The std of a preprocessing must be positive, not {self.std}.")
        if any(value < 1 for value in self.std) or any(0 < value < 1 for value in self.mean):
            raise FormatError(
                f"The mean {self.mean} and std {self.std} are for pixels in 0..1, but they are declared in 0..255; "
                "multiply them by 255."
            )

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the network's input."""
        return self.size if self.crop is None else (self.size[0], self.crop[1] - self.crop[0])

    def apply(self, images: Tensor) -> Tensor:
        """Network input, float32 (b, 3, h, w), of RGB uint8 images (b, h, w, 3), on their device.

        The result keeps the pixels' memory order (torch's channels_last).
        """
        if self.crop is not None:
            images = images[:, :, slice(*self.crop)]
        if self.colour == "BGR":
            images = images.flip(-1)
        pixels = images.float()
        mean, std = (pixels.new_tensor(values) for values in (self.mean, self.std))
        return ((pixels - mean) / std).permute(0, 3, 1, 2)

    def check(self, meta: Meta) -> None:
        """Raise FormatError unless a set's faces are what the network was made for, or a multiple of its size."""
        if meta.kind != "faces" or meta.size is None:
            raise FormatError(f"{meta.dataset} holds {meta.kind}, but a network takes aligned faces.")
        if meta.template != self.template or not reduction(meta.size, self.size):
            raise FormatError(
                f"The faces of {meta.dataset} are {meta.size[0]}x{meta.size[1]} aligned to {meta.template!r}, but "
                f"the network takes {self.size[0]}x{self.size[1]} aligned to {self.template!r}; align them again."
            )
        if meta.colour != "RGB":
            raise FormatError(f"The faces of {meta.dataset} are {meta.colour}, but RGB is expected; align them again.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML, JSON and weight files; `from_dict` reads them back."""
        values = asdict(self)
        if self.normalised is None:  # said of few networks, and in no file of before
            del values["normalised"]
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    @staticmethod
    def from_dict(values: Any, origin: str) -> Preprocessing:
        """Validate what `to_dict` or a person wrote; FormatError names the wrong key and `origin`."""
        try:
            return _PREPROCESSING.validate_python(values)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'all of it'}: {e['msg']}" for e in error.errors())
            raise FormatError(f"The preprocessing in {origin} is wrong ({problems}).") from error
        except FormatError as error:
            raise FormatError(f"The preprocessing in {origin} is wrong: {error}") from error


_PREPROCESSING = TypeAdapter(Preprocessing)


@dataclass(frozen=True)
class TrainingSet:
    """A face set that a network was trained on; `rendered` where its people do not exist."""

    name: str
    rendered: bool


def merged_training_sets(
    before: tuple[TrainingSet, ...] | None, now: Iterable[TrainingSet]
) -> tuple[TrainingSet, ...] | None:
    """Training sets after more training: those `before` and those of `now`, each once, sorted; None (unknown) stays."""
    if before is None:
        return None
    return tuple(sorted({*before, *now}, key=lambda each: (each.name, each.rendered)))


def only_rendered(sets: tuple[TrainingSet, ...] | None) -> bool:
    """Whether a network is known to have seen rendered faces only."""
    return bool(sets) and all(each.rendered for each in sets or ())


def describe_training_sets(sets: tuple[TrainingSet, ...] | None) -> list[str] | str:
    """The names for a report, or "unknown".

    >>> describe_training_sets((TrainingSet("synth_people", True), TrainingSet("ms1m_arcface", False)))
    ['synth_people (synthetic)', 'ms1m_arcface']
    """
    if sets is None:
        return "unknown"
    return [f"{each.name} (synthetic)" if each.rendered else each.name for each in sets]


def training_sets_to_plain(sets: tuple[TrainingSet, ...] | None) -> list[dict[str, Any]] | None:
    """Plain values for weight files and JSON; `parse_training_sets` reads them back."""
    return None if sets is None else [asdict(each) for each in sets]


def parse_training_sets(values: Any, origin: str) -> tuple[TrainingSet, ...] | None:
    """Read what `training_sets_to_plain` gave; FormatError that names `origin` when it is anything else."""
    try:
        return _TRAINING_SETS.validate_python(values)
    except ValidationError as error:
        raise FormatError(f"What {origin} says of its training sets is damaged; train or export again.") from error


_TRAINING_SETS = TypeAdapter(tuple[TrainingSet, ...] | None)
