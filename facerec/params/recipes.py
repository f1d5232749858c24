"""A training recipe proposed for the size of the data and of the machine, for a person to change.

    proposed = propose_recipe(images=6257, identities=299, machine=Machine(cores=2))
    print(proposed.train, proposed.reasons)

The whole rule is the table RULES: the first row that has room for the images, and for the machine. docs/training.md says
what its values were measured on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from facerec.core import FormatError, ParamsError, torch_device


@dataclass(frozen=True)
class Machine:
    """What trains: `cores` of the processor, and `gpu` bytes of a GPU's memory, 0 without one."""

    cores: int = 2
    gpu: int = 0

    def __str__(self) -> str:
        return f"a GPU with {self.gpu / 1e9:.0f} GB" if self.gpu else f"{self.cores} cores"


def this_machine() -> Machine:
    """The cores that this process may use, and the memory of the GPU that it would train on, if any."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    place = torch_device()
    if place.type != "cuda":
        return Machine(cores)
    import torch

    return Machine(cores, int(torch.cuda.get_device_properties(place).total_memory))


class Rule(NamedTuple):
    """A row of RULES."""

    images: float
    """For training sets of at most so many images."""
    gpu: bool
    """Whether for a GPU."""
    backbone: dict[str, Any]
    head: dict[str, Any]
    epochs: int
    batch: int
    augment: dict[str, float]
    lr: float = 0.1
    decay: float = 0.0005
    """Of the weights."""


_SMALL = {"name": "arcface", "scale": 24, "margin": 0.2}
_MIDDLE = {"name": "cosface", "scale": 32, "margin": 0.3}
_LARGE = {"name": "arcface", "scale": 64, "margin": 0.5}
_NARROW, _HALF, _FULL = (
    {"name": "mobilefacenet", "dim": dim, "width": width} for dim, width in ((128, 0.25), (128, 0.5), (256, 1.0))
)
_PLAIN = {"name": "resnet10", "dim": 128, "width": 0.5}
_VARIED = {"colour": 0.3, "low_resolution": 0.2, "crop": 0.2}
_ANY = float("inf")
RECIPE = "# The recipe"
"""How the comment above a proposed recipe in a profile begins."""
_LONGEST = 100

RULES = (
    #    images     GPU    backbone                             head     epochs batch augmentation
    Rule(3_000, False, _NARROW, _SMALL, 32, 32, {}, 0.05),
    Rule(20_000, False, _PLAIN, _SMALL, 24, 64, {**_VARIED, "affine": 0.5}, decay=0.005),
    Rule(100_000, False, _HALF, _MIDDLE, 12, 128, {}),
    Rule(_ANY, False, _HALF, _MIDDLE, 4, 128, {}),
    Rule(3_000, True, _HALF, _SMALL, 40, 64, {}),
    Rule(20_000, True, _FULL, _SMALL, 40, 128, _VARIED),
    Rule(300_000, True, {"name": "iresnet18", "dim": 512}, _MIDDLE, 24, 256, {"colour": 0.2}),
    Rule(2_000_000, True, {"name": "iresnet50", "dim": 512}, _LARGE, 24, 512, {"colour": 0.2}),
    Rule(_ANY, True, {"name": "iresnet100", "dim": 512}, _LARGE, 20, 512, {"colour": 0.2}),
)

_IMAGE_BYTES = {"mobilefacenet": 20e6, "iresnet18": 25e6, "iresnet50": 60e6, "iresnet100": 110e6}
"""Memory that an image of a batch takes in training on a GPU, float32, roughly and rather too much."""
_SAFE = 0.8  # of a GPU's memory
_THREADS = 16  # more hardly help a batch of 64


@dataclass(frozen=True)
class Proposal:
    """A recipe as keys of `train`, for each choice one line of reason, and what it is proposed for, in words."""

    train: dict[str, Any]
    reasons: dict[str, str]
    purpose: str


def propose_recipe(images: int, identities: int, machine: Machine) -> Proposal:
    """The recipe for training on so many images of so many people on a machine.

    Equal arguments give equal recipes. Raises FormatError for fewer than two people.

    >>> propose_recipe(6257, 299, Machine(cores=2)).train["head"]
    {'name': 'arcface', 'scale': 24, 'margin': 0.2}
    """
    if identities < 2:
        raise FormatError(f"A network learns from two people or more, and here is {identities}.")
    rule = next(rule for rule in RULES if rule.gpu == bool(machine.gpu) and images <= rule.images)
    batch = max(2, min(rule.batch, images // 4))
    parts = _parts(rule, batch, machine)
    batch -= batch % parts
    train: dict[str, Any] = {
        "epochs": rule.epochs,
        "batch": batch,
        "accumulate": parts,
        "lr": rule.lr,
        "weight_decay": rule.decay,
        "flip": True,
        "augment": rule.augment,
        "schedule": {"name": "cosine", "warmup": 1.0},
        "backbone": rule.backbone,
        "head": rule.head,
    }
    if machine.gpu:
        train["precision"] = "bfloat16"
    elif machine.cores != Machine.cores:  # params.yaml has two threads
        train["threads"] = min(machine.cores, _THREADS)
    usual = [("accumulate", 1), ("augment", {})]
    kept = {key: value for key, value in train.items() if (key, value) not in usual}
    purpose = f"{images:,} images of {identities:,} people on {machine}"
    return Proposal(kept, _reasons(rule, images, identities, machine, batch, parts), purpose)


def _parts(rule: Rule, batch: int, machine: Machine) -> int:
    """Parts in which a batch passes the network, a power of two, so that one fits into the GPU."""
    if not machine.gpu:
        return 1
    parts, needed = 1, batch * _IMAGE_BYTES[rule.backbone["name"]]
    while needed / parts > _SAFE * machine.gpu and parts < batch:
        parts *= 2
    return parts


def _reasons(rule: Rule, images: int, identities: int, machine: Machine, batch: int, parts: int) -> dict[str, str]:
    """One line for each choice."""
    width = f" of {rule.backbone['width']:g} times the published channels" if "width" in rule.backbone else ""
    each = images / identities
    steps = rule.epochs * (images // batch)
    augment = ", ".join(f"{name} {value:g}" for name, value in rule.augment.items())
    split = f", in {parts} parts that fit into the GPU" if parts > 1 else ""
    few = rule.head["scale"] < _LARGE["scale"]
    decay = "strong, since the people are few" if rule.decay > Rule._field_defaults["decay"] else "the usual"
    cores = {} if machine.gpu else {"threads": f"those of {machine}; their number changes the last bits of a result"}
    larger = "learn so few images by heart" if few else "gain little"
    return {
        "backbone": f"{rule.backbone['name']}{width}; larger ones "
        + (f"{larger}" if machine.gpu else f"take too long on {machine}"),
        "head": f"{rule.head['name']}, scale {rule.head['scale']}, margin {rule.head['margin']}: "
        + ("larger ones hardly learn from so few people" if few else "the published values, for very many people"),
        "epochs": f"{rule.epochs}: {steps:,} updates, with {each:.0f} images a person",
        "batch": f"{batch}{split}: {steps // rule.epochs:,} updates an epoch",
        "augmentation": f"mirrored{f' and {augment}' if augment else ''}: "
        + ("every face is seen often" if augment else "more of it needs more epochs than these"),
        "weight_decay": f"{rule.decay:g}: {decay}",
        **cores,
    }


def recipe_text(proposal: Proposal) -> str:
    """The section `train` of a profile, below a comment with its reasons."""
    reasons = "".join(f"#   {key}: {reason}\n" for key, reason in proposal.reasons.items())
    return f"{RECIPE} that is proposed for {proposal.purpose}; change it as you like.\n{reasons}{dump({'train': proposal.train})}"


def replace_recipe(path: Path, proposal: Proposal) -> str:
    """The text of the profile `path` with this recipe in place of a proposed one, or added.

    Raises ParamsError where there is no such profile, or its section `train` was written by hand.
    """
    if not path.is_file():
        raise ParamsError(f"there is no profile {path}; `facerec add` makes one.")
    text, mark, _ = path.read_text(encoding="utf-8").partition(RECIPE)
    if not mark and any(line.startswith("train:") for line in text.splitlines()):
        raise ParamsError(f"{path} has a section train of its own; change it there, or remove it first.")
    return f"{text.rstrip()}\n{recipe_text(proposal)}"


def dump(tree: dict[str, Any]) -> str:
    """YAML in the order of the keys."""
    return yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, width=_LONGEST)
