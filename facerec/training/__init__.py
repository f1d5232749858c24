"""Training a backbone on face shards: `fit`."""

from facerec.training.trainer import Epoch, Trained, TrainingError, fit

__all__ = ["Epoch", "Trained", "TrainingError", "fit"]
