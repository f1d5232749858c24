"""The types of the public names; `__init__.py` imports each when it is first used."""

from pathlib import Path

from facerec.backbones import build_backbone as backbone
from facerec.core import use_portable_arithmetic as use_portable_arithmetic
from facerec.detection import build_detector as detector
from facerec.embedding.by_name import open_embedder as embedder
from facerec.evaluation.identification import identify as identify
from facerec.evaluation.open_set import open_set as open_set
from facerec.evaluation.verification import evaluate as evaluate
from facerec.heads import build_head as head
from facerec.imaging.alignment import similarity as similarity
from facerec.imaging.alignment import warp as warp
from facerec.imaging.images import decode as decode
from facerec.interop.recordio import RecordReader as RecordReader
from facerec.interop.recordio import RecordWriter as RecordWriter
from facerec.recognition.recogniser import Recogniser as Recogniser
from facerec.store.shards import Shards

__version__: str
__all__ = [
    "Recogniser",
    "RecordReader",
    "RecordWriter",
    "backbone",
    "decode",
    "detector",
    "embedder",
    "evaluate",
    "head",
    "identify",
    "open_set",
    "read_faces",
    "read_photos",
    "similarity",
    "use_portable_arithmetic",
    "warp",
]

def read_faces(path: str | Path) -> Shards: ...
def read_photos(path: str | Path) -> Shards: ...
