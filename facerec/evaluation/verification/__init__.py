"""Verification: are two faces the same person? Protocols as pure numpy, from embeddings to a frozen result."""

from facerec.evaluation.verification.folds import evaluate
from facerec.evaluation.verification.intervals import Intervals, bootstrap
from facerec.evaluation.verification.protocols import PROTOCOLS, Protocol
from facerec.evaluation.verification.result import TarAtFar, VerificationResult

__all__ = ["PROTOCOLS", "Intervals", "Protocol", "TarAtFar", "VerificationResult", "bootstrap", "evaluate"]
