"""Evaluation on files: from embeddings to results at rest, for verification and for MegaFace-style identification."""

from facerec.evaluation.verification.on_files import (
    VerificationRecord,
    VerifyOptions,
    verify_arrays,
    verify_files,
)

__all__ = ["VerificationRecord", "VerifyOptions", "verify_arrays", "verify_files"]
