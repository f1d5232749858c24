"""Where a network's knowledge comes from, written down when it has been trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from facerec import catalog
from facerec.backbones.storage import StoredBackbone
from facerec.formats.shards import Shards
from facerec.training_sets import TrainingSet, joined


def credited(backbone: StoredBackbone, sets: Sequence[Shards]) -> StoredBackbone:
    """The backbone with the names of these face sets beside those it had learnt from before (`train.init`)."""
    names = {shards.meta.dataset for shards in sets}
    now = [TrainingSet(name, catalog.is_rendered(name)) for name in names]
    return replace(backbone, trained_on=joined(backbone.trained_on, now))
