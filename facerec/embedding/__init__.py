"""Faces to embeddings: a torch or ONNX network and its declared preprocessing behind one `Embedder`."""

from facerec.embedding.embedder import Embedder, Network
from facerec.embedding.files import (
    DIGEST_KEY,
    METADATA_KEY,
    TRAINED_ON_KEY,
    load_embedder,
    onnx_embedder,
    torch_embedder,
)
from facerec.embedding.onnx_network import OnnxNetwork

__all__ = [
    "DIGEST_KEY",
    "METADATA_KEY",
    "TRAINED_ON_KEY",
    "Embedder",
    "Network",
    "OnnxNetwork",
    "load_embedder",
    "onnx_embedder",
    "torch_embedder",
]
