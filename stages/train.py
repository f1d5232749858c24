"""train@network: all training faces -> the weights of the backbone, last and best, with metrics and curves."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from facerec import distributed, training
from facerec.backbones import storage
from facerec.core import check_place, describe_arithmetic, torch_device
from facerec.store import shards
from facerec.training import Trained
from stages import common

_WEIGHTS = (".pt", "_best.pt")


def train(params: common.Params, name: str) -> None:
    """Train network `name` on every training set that params.photos and params.packs name."""
    for suffix in _WEIGHTS:
        check_place(common.MODELS / f"{name}{suffix}", folder=False)
    folders = [common.FACES / "train" / set_name for set_name in params.training_sets]
    sets = [shards.read_shards(folder, "faces") for folder in folders if shards.is_shard_set(folder)]
    place = torch_device()
    with distributed.joined(place), training.keep_checkpoints(sets, params.train) as checkpoints:
        trained = training.fit(sets, params.train, place, checkpoints)
        if distributed.rank() == 0:
            together = f" in {distributed.world()} processes" if distributed.world() > 1 else ""
            write(trained, name, describe_arithmetic(place.type) + together)


def write(trained: Trained, name: str, arithmetic: str) -> None:
    """Write all outputs of the stage, with the kind of machine it ran on. Without validation, the best weights are the last ones."""
    for suffix, backbone in zip(_WEIGHTS, (trained.backbone, trained.best), strict=True):
        storage.save_backbone(backbone, common.MODELS / f"{name}{suffix}")
    for key in ("loss", "accuracy"):
        curve = [{"epoch": epoch.epoch, key: getattr(epoch, key)} for epoch in trained.history]
        common.write_curve(name, key, curve)
    validations = [asdict(each) for each in trained.validations]
    common.write_curve(name, "validation", validations)
    common.write_metrics("train", name, _metrics(trained) | {"arithmetic": arithmetic})


def _metrics(trained: Trained) -> dict[str, Any]:
    last = trained.history[-1]
    metrics: dict[str, Any] = {"train_loss": last.loss, "train_accuracy": last.accuracy, "epochs": last.epoch}
    metrics |= {"images": trained.images, "identities": trained.identities}
    if trained.validations:
        best = max(trained.validations, key=lambda each: each.mean)
        metrics |= {"best_step": best.step, "best_validation": best.mean}
    return metrics


if __name__ == "__main__":
    common.run_together(train)
