"""Reproducible face recognition: from photos to embeddings, verification and identification.

    import facerec

    faces = facerec.detector("mtcnn").detect([photo])[0]  # RGB (h, w, 3) uint8 -> boxes, landmarks, scores
    crops = [facerec.warp(photo, matrix) for matrix in facerec.similarity(faces.landmarks)]
    embeddings = facerec.embedder("models/backbone.pt").embed(numpy.stack(crops))
    recogniser = facerec.Recogniser("models/backbone.pt", detector="mtcnn")
    print(recogniser.compare("a.jpg", "b.jpg", recogniser.threshold(far=1e-2)))

The names below are the public ones. They are imported when they are first used, so `import facerec` is quick.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facerec.backbones import build_backbone as backbone
    from facerec.detection import build_detector as detector
    from facerec.embedding import load_embedder as embedder
    from facerec.evaluation.identification import identify
    from facerec.evaluation.verification import evaluate
    from facerec.heads import build_head as head
    from facerec.imaging.alignment import similarity, warp
    from facerec.interop.recordio import RecordReader, RecordWriter
    from facerec.recognition.recogniser import Recogniser
    from facerec.store.shards import Shards

__version__ = "0.1.0"

__all__ = [
    "Recogniser",
    "RecordReader",
    "RecordWriter",
    "backbone",
    "detector",
    "embedder",
    "evaluate",
    "head",
    "identify",
    "read_faces",
    "read_photos",
    "similarity",
    "warp",
]

_LAZY = {
    "Recogniser": "facerec.recognition.recogniser:Recogniser",
    "RecordReader": "facerec.interop.recordio:RecordReader",
    "RecordWriter": "facerec.interop.recordio:RecordWriter",
    "backbone": "facerec.backbones:build_backbone",
    "detector": "facerec.detection:build_detector",
    "embedder": "facerec.embedding:load_embedder",
    "evaluate": "facerec.evaluation.verification:evaluate",
    "head": "facerec.heads:build_head",
    "identify": "facerec.evaluation.identification:identify",
    "similarity": "facerec.imaging.alignment:similarity",
    "warp": "facerec.imaging.alignment:warp",
}
"""Public name -> the module and the name it is imported from at its first use."""


def read_faces(path: str | Path) -> Shards:
    """The aligned faces of a set, a directory of face shards; see `facerec.store.shards.read_shards`."""
    from facerec.store.shards import read_shards

    return read_shards(path, "faces")


def read_photos(path: str | Path) -> Shards:
    """The photos of a set, a directory of photo shards; see `facerec.store.shards.read_shards`."""
    from facerec.store.shards import read_shards

    return read_shards(path, "photos")


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _LAZY[name].partition(":")
    globals()[name] = getattr(import_module(module), attribute)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
