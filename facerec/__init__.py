"""Reproducible face recognition: from photos to embeddings, verification and identification.

    import facerec

    faces = facerec.detector("mtcnn").detect([photo])[0]  # RGB (h, w, 3) uint8 -> boxes, landmarks, scores
    crops = [facerec.warp(photo, matrix) for matrix in facerec.similarity(faces.landmarks)]
    embeddings = facerec.embedder("models/backbone.pt").embed(numpy.stack(crops))
    recogniser = facerec.Recogniser("models/backbone.pt", detector="mtcnn")
    print(recogniser.compare("a.jpg", "b.jpg", recogniser.threshold(far=1e-2)))

The names of `__all__` are the public ones. They are imported when they are first used, so `import facerec` is quick;
`__init__.pyi` beside this file tells type checkers and editors where they are from.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facerec.store.shards import Shards

__version__ = "0.1.0"

_LAZY = {
    "Recogniser": "facerec.recognition.recogniser:Recogniser",
    "RecordReader": "facerec.interop.recordio:RecordReader",
    "RecordWriter": "facerec.interop.recordio:RecordWriter",
    "backbone": "facerec.backbones:build_backbone",
    "decode": "facerec.imaging.images:decode",
    "detector": "facerec.detection:build_detector",
    "embedder": "facerec.embedding.by_name:open_embedder",
    "evaluate": "facerec.evaluation.verification:evaluate",
    "head": "facerec.heads:build_head",
    "identify": "facerec.evaluation.identification:identify",
    "open_set": "facerec.evaluation.open_set:open_set",
    "similarity": "facerec.imaging.alignment:similarity",
    "use_portable_arithmetic": "facerec.core:use_portable_arithmetic",
    "warp": "facerec.imaging.alignment:warp",
}
"""Public name -> the module and the name it is imported from at its first use."""

__all__ = [*_LAZY, "read_faces", "read_photos"]


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
