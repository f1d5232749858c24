"""Faces to embeddings: torch and ONNX networks behind one `Embedder`, embeddings of face sets, export to ONNX.

    from facerec import embedding

    embedder = embedding.load_embedder("models/backbone.onnx")
    matrix = embedder.embed(faces)  # (n, 112, 112, 3) uint8 RGB -> (n, dim) float32

The files:

    embedder.py   `Embedder` and `load_embedder`
    engines.py    faster ways to run a network, for whoever asks for them
    by_name.py    networks of the catalog and of the hub
    embed_set.py  embeddings of whole face sets
    export.py     backbone.pt to ONNX
"""

from facerec.embedding.embedder import (
    METADATA_KEY,
    Embedder,
    load_embedder,
    load_network,
    onnx_embedder,
    onnx_notes,
    torch_embedder,
)

__all__ = ["METADATA_KEY", "Embedder", "load_embedder", "load_network", "onnx_embedder", "onnx_notes", "torch_embedder"]
