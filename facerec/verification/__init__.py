"""Verification: are two faces the same person? Protocols as pure numpy, from embeddings to a frozen result."""

from facerec.verification.folds import evaluate
from facerec.verification.intervals import Intervals, bootstrap
from facerec.verification.protocols import PROTOCOLS, Protocol
from facerec.verification.result import Result, TarAtFar

__all__ = ["PROTOCOLS", "Intervals", "Protocol", "Result", "TarAtFar", "bootstrap", "evaluate"]
