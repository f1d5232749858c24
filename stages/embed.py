"""embed@benchmark: a network and face shards -> one matrix of embeddings and the table of its rows."""

from __future__ import annotations

from facerec.embedding.embed_set import embed_face_set, embed_once
from stages import common


def embed(params: common.Params, name: str) -> None:
    """Embed every face of benchmark `name` with params.model."""
    wanted = params.benchmarks[name].faces
    shared = sum(each.faces == wanted for each in params.benchmarks.values()) > 1
    faces, out = common.FACES / "test" / wanted, common.EMBEDDINGS / f"{name}.npy"
    (embed_once if shared else embed_face_set)(params.model, faces, out, engine=params.embed.engine)


if __name__ == "__main__":
    common.run(embed)
