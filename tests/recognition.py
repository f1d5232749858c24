"""A small network, drawn people and made-up scores, for the tests of comparing, enrolling and searching."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from facerec import embedding
from facerec.backbones import storage
from facerec.imaging import images
from facerec.store import embeddings
from facerec.store.embeddings import Origin
from facerec.store.model_metadata import Preprocessing, TrainingSet
from tests import cartoon

SEEN = (TrainingSet("synth_people", True),)
PEOPLE = {
    "ann": {"width": 70.0, "skin": (230, 190, 160)},
    "bob": {"width": 80.0, "skin": (160, 110, 80)},
    "eve": {"width": 90.0, "skin": (120, 80, 60)},
}


def save_model(path: Path, seed: int = 1, trained_on: tuple[TrainingSet, ...] | None = SEEN) -> str:
    """Write a network that nobody trained; returns its digest."""
    torch.manual_seed(seed)
    stored = storage.create_backbone("mobilefacenet", 16, {"width": 0.125}, Preprocessing())
    stored.network.train()
    with torch.no_grad():
        stored.network(torch.randn(16, 3, 112, 112))  # statistics other than the initial ones
    storage.save_backbone(replace(stored, trained_on=trained_on), path)
    return embedding.load_embedder(path).digest


def photo(name: str, roll: float = 0.0, **options: object) -> bytes:
    """A PNG or JPEG of a drawn person."""
    drawn = PEOPLE[name]
    face = {"width": drawn["width"], "roll": roll}
    return images.encode_jpeg(cartoon.photo(face, skin=drawn["skin"], **options)[0])  # type: ignore[arg-type]


def group() -> bytes:
    """Two drawn people in one photo, and blank wall."""
    faces = [{"width": 70.0, "centre": (80.0, 90.0)}, {"width": 80.0, "centre": (250.0, 100.0)}]
    return images.encode_jpeg(cartoon.photo(*faces, width=330)[0])


def blank() -> bytes:
    """A photo of nobody."""
    return images.encode_jpeg(cartoon.photo()[0])


def write_scores(
    folder: Path, model: str, different: np.ndarray, benchmark: str = "made_up", rendered: bool = False, **how: object
) -> Path:
    """Scores as the stage verify leaves them: ten same pairs at distance 0, and these different ones."""
    distances = np.concatenate([np.zeros(10), different])
    same = np.arange(len(distances)) < 10
    measured = embeddings.Measured(benchmark, "insightface", Origin(model, benchmark, rendered))
    folder.mkdir(parents=True)
    table = pa.table({"same": same, "distance": distances})
    embeddings.write_scores(table, replace(measured, **how), folder)  # type: ignore[arg-type]
    return folder
