"""train@network: all training faces -> the backbone's weights and how the training went."""

from __future__ import annotations

from facerec import training
from facerec.backbones import storage
from facerec.devices import device
from facerec.files import write_json
from facerec.formats import shards
from facerec.params import Params
from stages import common


def train(params: Params, name: str) -> None:
    """Train network `name` on every training set that params.photos and params.packs name."""
    folders = [common.FACES / "train" / set_name for set_name in params.training_sets]
    sets = [shards.read(folder, "faces") for folder in folders if shards.is_set(folder)]
    with training.kept(sets, params.train) as checkpoints:
        trained = training.fit(sets, params.train, device(), checkpoints)
        storage.save(trained.backbone, common.MODELS / f"{name}.pt")
    last = trained.history[-1]
    seen = {"images": trained.images, "identities": trained.identities, "epochs": last.epoch}
    metrics = {"train_loss": last.loss, "train_accuracy": last.accuracy, **seen}
    write_json(common.METRICS / f"train/{name}.json", {name: metrics})
    for key in ("loss", "accuracy"):
        curve = [{"epoch": epoch.epoch, key: getattr(epoch, key)} for epoch in trained.history]
        write_json(common.CURVES / f"{name}_{key}.json", {key: curve})


if __name__ == "__main__":
    common.run(train)
