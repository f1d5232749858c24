"""What a network has seen, and which network made what, is written down and read back, in every file it may leave in."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from facerec import embedding, training
from facerec.backbones import storage
from facerec.catalog import entries
from facerec.core import FormatError, describe_arithmetic
from facerec.embedding import embedder, export
from facerec.embedding.embed_set import embed_face_set, embed_features
from facerec.evaluation.verification import on_files
from facerec.store import embeddings, model_metadata, pairs
from facerec.store.embeddings import Embeddings, Measured, Origin, read_scores
from facerec.store.model_metadata import Preprocessing, TrainingSet
from tests.models import SIZE, TEMPLATE, recipe, write_set

CPU = torch.device("cpu")
SEEN = (TrainingSet("ms1m_arcface", False), TrainingSet("synth_people", True))


def network(seed: int = 1, **preprocessing: object) -> storage.StoredBackbone:
    torch.manual_seed(seed)
    rules = Preprocessing(size=SIZE, template=TEMPLATE, **preprocessing)  # type: ignore[arg-type]
    return replace(storage.create_backbone("mobilefacenet", 16, {"width": 0.125}, rules), trained_on=SEEN)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """backbone.pt and backbone.onnx of one network."""
    folder = tmp_path_factory.mktemp("models")
    storage.save_backbone(network(), folder / "backbone.pt")
    export.export_onnx(folder / "backbone.pt", folder / "backbone.onnx")
    return folder


def test_a_network_and_its_export_are_one_model(files: Path) -> None:
    ours, exported = (embedding.load_embedder(files / f"backbone.{kind}") for kind in ("pt", "onnx"))
    assert ours.digest == exported.digest == network().digest()
    assert len(ours.digest) == 64
    assert ours.trained_on == exported.trained_on == SEEN


def test_another_weight_or_preprocessing_is_another_model() -> None:
    others = [network(), network(seed=2), network(flip="none"), network(colour="BGR")]
    changed = network()
    next(changed.network.parameters()).data.view(-1)[0] += 1e-6
    assert len({each.digest() for each in (*others, changed)}) == 5
    assert replace(network(), trained_on=None).digest() == network().digest(), "what it has seen is not what it does"


def test_a_model_of_others_is_its_bytes_and_the_preprocessing_beside_it(files: Path, tmp_path: Path) -> None:
    foreign = onnx.load(files / "backbone.onnx")
    del foreign.metadata_props[:]
    digests = []
    for number, flip in enumerate(("sum", "sum", "none")):
        folder = tmp_path / str(number)
        folder.mkdir()
        onnx.save(foreign, folder / "network.onnx")
        rules = Preprocessing(size=SIZE, template=TEMPLATE, flip=flip)  # type: ignore[arg-type]
        (folder / "preprocessing.yaml").write_text(yaml.safe_dump(rules.to_dict()))
        loaded = embedding.load_embedder(folder)
        assert loaded.trained_on is None
        digests.append(loaded.digest)
    assert digests[0] == digests[1] != digests[2]
    assert embedding.load_embedder(files / "backbone.onnx").digest not in digests


def test_files_of_earlier_versions_say_nothing_and_still_load(files: Path, tmp_path: Path) -> None:
    content = torch.load(files / "backbone.pt", weights_only=True)
    del content["trained_on"]
    torch.save(content, tmp_path / "old.pt")
    assert storage.load_backbone(tmp_path / "old.pt").trained_on is None
    for wrong in ("people", [{"name": 3}], [{"name": "x", "rendered": "perhaps"}], [1]):
        torch.save(content | {"trained_on": wrong}, tmp_path / "wrong.pt")
        with pytest.raises(FormatError, match=r"wrong\.pt says of its training sets is damaged"):
            storage.load_backbone(tmp_path / "wrong.pt")


@pytest.mark.parametrize(
    ("key", "value"), [(embedder.DIGEST_KEY, "0x12"), (embedder.TRAINED_ON_KEY, "[{]"), (embedder.TRAINED_ON_KEY, "3")]
)
def test_damaged_notes_of_an_onnx_file_are_refused(files: Path, tmp_path: Path, key: str, value: str) -> None:
    model = onnx.load(files / "backbone.onnx")
    next(each for each in model.metadata_props if each.key == key).value = value
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(FormatError, match=r"x\.onnx.* (damaged|not valid JSON)"):
        embedding.load_embedder(tmp_path / "x.onnx")


def test_training_writes_down_what_it_saw(tmp_path: Path) -> None:
    """Rendered sets are those of the catalog; a fine-tuned network remembers those of before, or that nobody knows."""
    rendered = write_set(tmp_path / "a", range(3), 4, dataset="synth_pack/lfw")
    photos = write_set(tmp_path / "b", range(3), 4, dataset="holiday")
    first = training.fit([rendered], recipe(), CPU).backbone
    assert first.trained_on == (TrainingSet("synth_pack/lfw", True),)
    assert model_metadata.only_rendered(first.trained_on)
    storage.save_backbone(first, tmp_path / "first.pt")
    tuned = training.fit([photos], recipe(init=str(tmp_path / "first.pt")), CPU).backbone
    assert tuned.trained_on == (TrainingSet("holiday", False), TrainingSet("synth_pack/lfw", True))
    assert not model_metadata.only_rendered(tuned.trained_on)
    storage.save_backbone(replace(first, trained_on=None), tmp_path / "unknown.pt")
    again = training.fit([rendered], recipe(init=str(tmp_path / "unknown.pt")), CPU).backbone
    assert again.trained_on is None
    assert not model_metadata.only_rendered(again.trained_on)


def test_the_catalog_knows_what_is_rendered(tmp_path: Path, monkeypatch) -> None:
    assert entries.is_rendered("synth_people")
    assert entries.is_rendered("synth_pack/agedb_30")
    assert not entries.is_rendered("lfw")
    assert not entries.is_rendered("holiday")
    monkeypatch.setenv("FACEREC_CATALOG", str(tmp_path / "none"))
    assert not entries.is_rendered("synth_people")


def test_embeddings_say_what_made_them(files: Path, tmp_path: Path) -> None:
    write_set(tmp_path / "faces", range(2), 2, dataset="synth_lfw")
    made = embed_face_set(files / "backbone.onnx", tmp_path / "faces")
    assert made.origin == Origin(network().digest(), "synth_lfw", True, "ONNX Runtime on the CPU")
    embed_features(files / "backbone.pt", tmp_path / "faces", tmp_path / "faces", tmp_path / "features")
    by_torch = Origin(network().digest(), "synth_lfw", True, describe_arithmetic())
    assert [each.origin for each in embeddings.read_feature_sets(tmp_path / "features")] == [by_torch] * 2
    for name in ("a", "b"):
        embeddings.write_embeddings(made, tmp_path / f"{name}.npy")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert embeddings.read_embeddings(tmp_path / "a.npy").origin == made.origin
    embeddings.write_embeddings(replace(made, origin=None), tmp_path / "a.npy")
    assert embeddings.read_embeddings(tmp_path / "a.npy").origin is None
    note = {b"facerec": json.dumps({"model": 1}).encode()}
    pq.write_table(pq.read_table(tmp_path / "b.parquet").replace_schema_metadata(note), tmp_path / "b.parquet")
    with pytest.raises(FormatError, match=r"b\.parquet says of itself is damaged"):
        embeddings.read_embeddings(tmp_path / "b.npy")


def test_scores_say_how_they_were_measured(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(40, 8)).astype(np.float32)
    origin = Origin("0" * 64, "lfw", False)
    embeddings.write_embeddings(
        Embeddings(rows, [f"{row}.jpg" for row in range(40)], ["x"] * 40, origin), tmp_path / "lfw.npy"
    )
    first = np.arange(0, 40, 2)
    pairs.write_pairs(pairs.Pairs(first, first + 1, np.arange(20) % 2 == 0), tmp_path / "pairs.parquet")
    options = on_files.VerifyOptions(far=0.1, trials=2)
    for out in ("a", "b"):
        judged = on_files.verify_files(tmp_path / "lfw.npy", tmp_path / "pairs.parquet", options, tmp_path / out)
    assert (tmp_path / "a/scores.parquet").read_bytes() == (tmp_path / "b/scores.parquet").read_bytes()
    found = read_scores(tmp_path / "a")
    assert found.measured == Measured("lfw", "insightface", origin)
    assert (found.distance == judged.result.distances).all()
    assert (found.same == judged.result.same).all()


def test_damaged_scores_are_refused_and_old_ones_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    pq.write_table(pa.table({"same": [True], "distance": [1.0]}), path)
    assert read_scores(path).measured is None
    for distance in ([None], [float("nan")]):
        pq.write_table(pa.table({"same": [True], "distance": pa.array(distance, pa.float64())}), path)
        with pytest.raises(FormatError, match="lacks some numbers"):
            read_scores(tmp_path)
    path.write_bytes(b"PAR1")
    with pytest.raises(FormatError, match="not a readable table"):
        read_scores(tmp_path)
    shutil.rmtree(tmp_path)
    with pytest.raises(FormatError, match="not a readable table"):
        read_scores(tmp_path)
