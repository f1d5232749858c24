"""Training a backbone on face shards: `fit`, and `kept` for the checkpoints with which it goes on after a stop."""

from facerec.training.checkpoints import Checkpoints, kept
from facerec.training.state import Epoch, Validated
from facerec.training.trainer import Trained, TrainingError, fit

__all__ = ["Checkpoints", "Epoch", "Trained", "TrainingError", "Validated", "fit", "kept"]
