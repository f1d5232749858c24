"""Faces to embeddings: torch and ONNX networks behind one `Embedder`, embeddings of face sets, export to ONNX.

    from facerec import embedding

    embedder = embedding.load_embedder("models/backbone.onnx")
    matrix = embedder.embed(faces)  # (n, 112, 112, 3) uint8 RGB -> (n, dim) float32

The files:

    embedder.py   `Embedder` and `load_embedder`
    embed_set.py  embeddings of whole face sets
    export.py     backbone.pt to ONNX
"""

from facerec.embedding.embedder import (
    DIGEST_KEY,
    METADATA_KEY,
    TRAINED_ON_KEY,
    Embedder,
    Network,
    OnnxNetwork,
    load_embedder,
    onnx_embedder,
    torch_embedder,
)

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
