"""embed@benchmark: a network and face shards -> one matrix of embeddings and the table of its rows."""

from __future__ import annotations

from facerec.embedding.embed_set import embed_face_set
from stages import common


def embed(params: common.Params, name: str) -> None:
    """Embed every face of benchmark `name` with params.model."""
    faces = common.FACES / "test" / params.benchmarks[name].faces
    embed_face_set(params.model, faces, common.EMBEDDINGS / f"{name}.npy", engine=params.embed.engine)


if __name__ == "__main__":
    common.run(embed)
