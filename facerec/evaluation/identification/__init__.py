"""Identification: is the right person found first among many strangers? MegaFace without its devkit."""

from facerec.evaluation.identification.noise import CleanedFeatures, remove_noise
from facerec.evaluation.identification.ranking import identify
from facerec.evaluation.identification.result import IdentificationResult
from facerec.store.embeddings import normalise

__all__ = ["CleanedFeatures", "IdentificationResult", "identify", "normalise", "remove_noise"]
