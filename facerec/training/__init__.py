"""Training a backbone on face shards.

`fit` is the training loop; `keep_checkpoints` gives it the checkpoints from which a stopped training resumes:

    with keep_checkpoints(sets, params.train) as checkpoints:
        trained = fit(sets, params.train, torch_device(), checkpoints)
        save_backbone(trained.backbone, "models/backbone.pt")

`data` holds faces and samplers, `augmentation` random changes of faces, `step` the state of a training and one update
of it, `validation` the benchmarks evaluated meanwhile, `checkpoints` how a training stops and resumes, `loggers` live
curves.
"""

from facerec.training.checkpoints import Checkpoints
from facerec.training.trainer import Trained, TrainingError, fit, keep_checkpoints

__all__ = ["Checkpoints", "Trained", "TrainingError", "fit", "keep_checkpoints"]
