"""Evaluation on files: from embeddings to results at rest, for verification and for MegaFace-style identification."""

from facerec.evaluation.verification import Judged, Options, verify, verify_arrays

__all__ = ["Judged", "Options", "verify", "verify_arrays"]
