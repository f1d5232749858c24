"""megaface_features@task: a network, probe and distractor faces -> two L2-normalised feature matrices."""

from __future__ import annotations

from facerec.embedding.embed_set import embed_features
from facerec.store import embeddings
from stages import common


def features(params: common.Params, name: str) -> None:
    """Embed the probes and distractors of identification task `name` with params.model."""
    task = params.identification[name]
    probes, distractors = (
        embed_features(params.model, common.FACES / "test" / faces) for faces in (task.probes, task.distractors)
    )
    embeddings.write_feature_sets(probes, distractors, common.MEGAFACE / name / "features")


if __name__ == "__main__":
    common.run(features)
