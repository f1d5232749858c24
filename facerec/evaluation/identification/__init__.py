"""Identification: is the right person found first among many strangers? MegaFace without its devkit."""

from facerec.evaluation.identification.noise import Cleaned, remove_noise
from facerec.evaluation.identification.ranking import identify
from facerec.evaluation.identification.result import IdentificationResult
from facerec.store.embeddings import normalise

__all__ = ["Cleaned", "IdentificationResult", "identify", "normalise", "remove_noise"]
