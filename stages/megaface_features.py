"""megaface_features@task: a network, probe and distractor faces -> two L2-normalised feature matrices."""

from __future__ import annotations

from facerec.embedding.embed_set import embed_features
from stages import common


def features(params: common.Params, name: str) -> None:
    """Embed the probes and distractors of identification task `name` with params.model."""
    task = params.identification[name]
    probes, distractors = (common.FACES / "test" / faces for faces in (task.probes, task.distractors))
    embed_features(params.model, probes, distractors, common.MEGAFACE / name / "features", params.embed.engine)


if __name__ == "__main__":
    common.run(features)
