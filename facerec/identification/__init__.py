"""Identification: is the right person found first among many strangers? MegaFace without its devkit."""

from facerec.identification.noise import Cleaned, remove_noise
from facerec.identification.ranking import identify
from facerec.identification.result import Result
from facerec.normalise import normalise

__all__ = ["Cleaned", "Result", "identify", "normalise", "remove_noise"]
