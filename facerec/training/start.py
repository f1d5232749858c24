"""Where training begins: a network with random weights, or with those of `train.init`, and a fresh head."""

from __future__ import annotations

import torch

from facerec import backbones, distributed, heads
from facerec.backbones import storage
from facerec.backbones.storage import StoredBackbone
from facerec.core import ParamsError
from facerec.heads import Head
from facerec.heads.sharded import initial
from facerec.params import Train
from facerec.store.preprocessing import Preprocessing
from facerec.training.data import TrainingFaces


def starting_weights(
    faces: TrainingFaces, recipe: Train, device: torch.device
) -> tuple[StoredBackbone, Head]:
    """Network and head for these faces, on the device, drawn from torch's global random state."""
    backbone = _fresh(faces, recipe) if recipe.init is None else _trained(faces, recipe, recipe.init)
    head = _head(faces.classes, recipe)
    # Faces arrive with channels last; kernels stored the same way are faster on CPU and GPU.
    backbone.network.to(device).to(memory_format=torch.channels_last).train()
    distributed.broadcast(backbone.network)
    return backbone, head.to(device)


def _head(classes: int, recipe: Train) -> Head:
    """The recipe's head: split over the processes where it can be, whole on each of them where not.

    Where it can be, its first centres are the same for any number of processes.
    """
    wanted = recipe.head
    known = set(heads.head_options(wanted.name))
    options = wanted.model_dump(include=known, exclude_none=True)
    place = (wanted.name, recipe.backbone.dim, classes)
    if not heads.can_be_split(wanted.name):
        if wanted.rate < 1 or wanted.lean:
            key = "rate below 1" if wanted.rate < 1 else "lean"
            raise ParamsError(
                f"train.head.{key} is for heads with a margin on the own class, not {wanted.name}."
            )
        head = heads.build_head(*place, **options)
        return head if distributed.world() == 1 else heads.Replicated(head)
    if distributed.world() > 1 or wanted.rate < 1:
        return heads.build_sharded(*place, wanted.rate, recipe.seed, **options)
    head = heads.build_head(*place, **options)
    with torch.no_grad():
        head.get_parameter("weight").copy_(initial(0, classes, recipe.backbone.dim, recipe.seed))
    return heads.Lean(head) if wanted.lean else head


def _fresh(faces: TrainingFaces, recipe: Train) -> StoredBackbone:
    preprocessing = Preprocessing(size=faces.size, template=faces.template, mean=recipe.mean, std=recipe.std)
    takes = set(backbones.backbone_options(recipe.backbone.name))
    options = recipe.backbone.model_dump(include=takes, exclude_none=True, exclude={"name", "dim"})
    return storage.create_backbone(recipe.backbone.name, recipe.backbone.dim, options, preprocessing)


def _trained(faces: TrainingFaces, recipe: Train, path: str) -> StoredBackbone:
    """The network of `train.init`, which must be the one the recipe describes; it brings its preprocessing."""
    stored = storage.load_backbone(path)
    if (stored.name, stored.dim) != (recipe.backbone.name, recipe.backbone.dim):
        raise ParamsError(
            f"train.init {path} is {stored.name} with {stored.dim} outputs, but train.backbone says "
            f"{recipe.backbone.name} with {recipe.backbone.dim}; make them agree."
        )
    for shards in faces.sets:
        stored.preprocessing.check(shards.meta)
    return stored
