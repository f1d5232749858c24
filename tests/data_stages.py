"""The data stages on a few rendered photos: `python -m tests.data_stages`, in a folder made by `prepare`.

Parts are so small that several workers share every stage.
"""

from __future__ import annotations

from pathlib import Path

from facerec.params import load_params
from tests import small_world

PHOTOS = 12
PARTS = {"detect": PHOTOS // 2}  # of the probes
OUTPUTS = ("data/detections", "data/faces", "data/embeddings", "data/megaface")
_MODEL = "models/backbone.pt"


def prepare(folder: Path) -> None:
    """Make the folder: photos of two sets, and a network that nobody trained."""
    import stages  # noqa: F401, first of all, since it sets the arithmetic
    from facerec.backbones import storage
    from facerec.params import profiles
    from facerec.store.model_metadata import Preprocessing
    from stages.render import render

    small_world.SMALL = profiles.merge_patch(
        small_world.SMALL,
        {"render": {"synth_facescrub": {"identities": 3, "photos": PHOTOS // 3}, "synth_megaface": {"distractors": 5}}},
    )
    small_world.prepare(folder)
    params = load_params()
    for name in ("synth_facescrub", "synth_megaface"):
        render(params, name)
    network = storage.create_backbone("mobilefacenet", 16, {"width": 0.25}, Preprocessing())
    Path("models").mkdir()
    storage.save_backbone(network, _MODEL)


def main() -> None:
    """Detect, align and embed both sets."""
    import stages  # noqa: F401
    from facerec.aligning import crops
    from facerec.detection import table
    from facerec.embedding import embed_set
    from stages.align import align
    from stages.detect import detect
    from stages.megaface_features import features

    table._FEW, table._JOB, crops._JOB, embed_set._JOB = 0, PHOTOS // PARTS["detect"], 4, 4
    params = load_params()
    for name in ("synth_facescrub", "synth_megaface"):
        detect(params, name)
        align(params, name, "test")
    features(params, "synth_megaface")
    embed_set.embed_face_set(_MODEL, "data/faces/test/synth_facescrub", "data/embeddings/faces.npy")


if __name__ == "__main__":
    main()
