"""Verification: are two faces the same person? Protocols as pure numpy, from embeddings to a frozen result."""

from facerec.evaluation.verification.cross_validation import TarAtFar, VerificationResult, evaluate
from facerec.evaluation.verification.protocols import PROTOCOLS, Protocol
from facerec.evaluation.verification.resampling import VerificationIntervals, bootstrap_intervals

__all__ = [
    "PROTOCOLS",
    "Protocol",
    "TarAtFar",
    "VerificationIntervals",
    "VerificationResult",
    "bootstrap_intervals",
    "evaluate",
]
