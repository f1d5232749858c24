"""facerec: a reproducible face-recognition pipeline, from photos to CMC and ROC curves."""

__version__ = "0.1.0"
