"""Real photos through the real graph: a tenth of LFW, with RetinaFace and the published network, in minutes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facerec import aligning
from facerec.catalog import entries
from facerec.catalog.sets import acquire
from facerec.detection import table
from facerec.embedding import embed_set
from facerec.evaluation.verification import on_files
from facerec.interop import pair_lists
from facerec.store import embeddings, pairs, shard_writing, shards

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lfw(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LFW and the published MobileFaceNet as the download stage leaves them."""
    root = tmp_path_factory.mktemp("lfw")
    for name in ("lfw", "mobilefacenet_foamliu_pt", "retinaface_mnet025"):
        acquire(entries.load_entry(name), root / name, {}, root / "downloads")
    return root


def test_all_of_lfw_is_there(lfw: Path) -> None:
    photos = shards.read_shards(lfw / "lfw", "photos")
    assert (len(photos), photos.classes) == (13_233, 5_749)
    listed = pair_lists.read_pairs(lfw / "lfw/pairs.txt", photos.sources)
    assert len(listed) == 6_000
    assert (listed.first >= 0).all()
    assert (listed.second >= 0).all()


def test_the_first_fold_is_recognised(lfw: Path, tmp_path: Path) -> None:
    photos = shards.read_shards(lfw / "lfw", "photos")
    listed = pair_lists.read_pairs(lfw / "lfw/pairs.txt", photos.sources)
    fold = slice(0, 600)
    rows = np.unique(np.concatenate([listed.first[fold], listed.second[fold]]))
    shard_writing.write_shards((photos.row(int(row)) for row in rows), tmp_path / "photos", photos.meta)
    again = {int(row): place for place, row in enumerate(rows)}
    first, second = (np.array([again[int(row)] for row in column[fold]]) for column in (listed.first, listed.second))
    pairs.write_pairs(pairs.Pairs(first, second, listed.same[fold]), tmp_path / "pairs.parquet")

    weights = {"weights": lfw / "retinaface_mnet025/retinaface_mobilenet0.25.pth"}
    found = table.detect_set(tmp_path / "photos", tmp_path / "faces.parquet", "retinaface-mnet0.25", weights)
    assert found.with_face >= 0.999 * found.photos
    aligning.align_set(tmp_path / "photos", tmp_path / "faces.parquet", tmp_path / "faces")
    embedded = embed_set.embed_face_set(lfw / "mobilefacenet_foamliu_pt", tmp_path / "faces")
    embeddings.write_embeddings(embedded, tmp_path / "lfw.npy")
    options = on_files.VerifyOptions(far=1e-2, trials=200)
    judged = on_files.verify_files(tmp_path / "lfw.npy", tmp_path / "pairs.parquet", options, tmp_path / "scores")
    assert judged.result.failures == 0
    assert judged.result.accuracy >= 0.985  # 600 pairs set their threshold less surely than 6,000
    assert judged.result.auc >= 0.995
    assert judged.intervals.unit == "identities"
