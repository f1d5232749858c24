"""Networks published as folders, and fetched from a hub on this machine by their address."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from facerec import embedding
from facerec.backbones import model_folders, storage
from facerec.catalog import hub, networks
from facerec.cli import app
from facerec.core import AcquireError, FormatError, ParamsError, console, parse_json
from facerec.embedding.by_name import open_embedder
from facerec.inspection import inspect
from facerec.recognition.recogniser import Recogniser
from tests.recognition import photo, save_model, write_scores

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FACES = np.random.default_rng(1).integers(0, 256, (3, 112, 112, 3), np.uint8)


class Hub(BaseHTTPRequestHandler):
    """Answers as Hugging Face's hub does: the listing of a revision, and the files of a commit."""

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(path)
        content = self.server.answers.get(path)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(content or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as running:
        running.asked, running.answers = [], {}
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `facerec publish` writes of a network measured on 100 different pairs."""
    folder = tmp_path_factory.mktemp("published")
    digest = save_model(folder / "backbone.pt")
    place = write_scores(folder / "scores/made_up", digest, np.linspace(0.5, 2, 100))
    metrics = {"pairs": 110, "accuracy": 0.9, "accuracy_low": 0.85, "accuracy_high": 0.95, "interval_over": "pairs"}
    (place / "result.json").write_text(json.dumps(metrics | {"tar": 0.5, "far_target": 1e-2}))
    write_scores(folder / "scores/of_another", "0" * 64, np.linspace(0.5, 2, 100), "of_another")
    words = ["publish", f"{folder}/out", "--model", f"{folder}/backbone.pt", "--scores", f"{folder}/scores", "--json"]
    assert console.run_command(lambda: app([*words, "--licence", "CC0"], standalone_mode=False)) == 0
    return folder / "out"


@pytest.fixture
def at_hub(
    published: Path, server: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ThreadingHTTPServer:
    """The hub has the network as ann/faces, whose branch main is COMMIT."""
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("FACEREC_CACHE", str(tmp_path / "cache"))
    files = {path.relative_to(published).as_posix(): path.read_bytes() for path in published.rglob("*.*")}
    siblings = [listed(name, content) for name, content in files.items()]
    answer = {"id": "ann/faces", "sha": COMMIT, "siblings": [*siblings, listed("pytorch_model.bin", b"pickle")]}
    for revision in ("main", "v1", COMMIT):
        server.answers[f"/api/models/ann/faces/revision/{revision}"] = json.dumps(answer).encode()
    for name, content in files.items():
        server.answers[f"/ann/faces/resolve/{COMMIT}/{name}"] = content
    return server


def listed(name: str, content: bytes) -> dict[str, object]:
    """A file as the hub lists it: large ones by SHA-256 (LFS), all by git's digest."""
    found = {"rfilename": name, "size": len(content), "blobId": hashlib.sha1(b"blob %d\0" % len(content) + content)}
    found["blobId"] = found["blobId"].hexdigest()
    large = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return found | ({"lfs": large} if name.endswith((".safetensors", ".onnx")) else {})


def test_a_published_folder_is_the_network(published: Path) -> None:
    first, second = embedding.load_embedder(published.parent / "backbone.pt"), embedding.load_embedder(published)
    assert (second.digest, second.trained_on) == (first.digest, first.trained_on)
    np.testing.assert_array_equal(second.embed(FACES), first.embed(FACES))
    by_onnx = embedding.load_embedder(published / "model.onnx")
    assert by_onnx.digest == first.digest
    np.testing.assert_allclose(by_onnx.embed(FACES), first.embed(FACES), atol=1e-4)
    assert open_embedder(published / "model.safetensors").digest == first.digest


def test_inspect_says_what_it_is(published: Path) -> None:
    found = inspect(published)
    assert (found.kind, found.facts["scores"]) == ("published model", ["made_up"])
    assert found.facts["backbone"]["name"] == "mobilefacenet"
    assert inspect(published / "model.safetensors").facts["parameters"] > 25_000


def test_its_card_has_metrics_with_intervals_for_people_and_for_the_hub(published: Path) -> None:
    _, front, card = (published / "README.md").read_text().split("---\n", 2)
    known = yaml.safe_load(front)
    assert (known["library_name"], known["license"], known["license_name"]) == ("facerec", "other", "CC0")
    (result,) = known["model-index"][0]["results"]
    assert (result["dataset"]["name"], result["metrics"]) == ("made_up", [{"type": "accuracy", "value": 0.9}])
    assert "| made_up | 110 | 90.00 % | 85.0 to 95.0 % | 50.0 % at FAR 1e-2 |" in card
    assert "| 1e-2 | 0.742 | " in card
    assert "rendered faces only" in card
    assert "of_another" not in card


def test_its_thresholds_come_along_without_names(published: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    threshold = Recogniser(published).threshold(1e-1)
    assert threshold is not None
    assert (threshold.measured.benchmark, threshold.point.pairs) == ("made_up", 100)
    assert pq.read_schema(published / "scores/made_up/scores.parquet").names == ["same", "distance"]


def test_equal_networks_give_equal_files(published: Path, tmp_path: Path) -> None:
    model_folders.write_model_folder(storage.load_backbone(published.parent / "backbone.pt"), tmp_path)
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / name).read_bytes() == (published / name).read_bytes()


def test_a_folder_that_is_damaged_or_mixed_is_refused(published: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "other.pt", seed=2)
    model_folders.write_model_folder(storage.load_backbone(tmp_path / "other.pt"), tmp_path)
    config, weights = (tmp_path / name for name in ("config.json", "model.safetensors"))
    config.write_bytes((published / "config.json").read_bytes())
    with pytest.raises(FormatError, match="do not belong together"):
        embedding.load_embedder(tmp_path)
    weights.write_bytes((published / "model.safetensors").read_bytes()[:-1])
    with pytest.raises(FormatError, match="cannot be read as weights"):
        embedding.load_embedder(tmp_path)
    config.write_text('{"model_type": "facerec"}')
    weights.write_bytes((published / "model.safetensors").read_bytes())
    with pytest.raises(FormatError, match="damaged or not a backbone"):
        embedding.load_embedder(tmp_path)
    config.write_text('{"model_type": "bert"}')
    with pytest.raises(FormatError, match="another model_type"):
        model_folders.load_model_folder(tmp_path)


def test_publish_refuses_scores_without_their_result(published: Path, tmp_path: Path) -> None:
    digest = save_model(tmp_path / "backbone.pt")
    write_scores(tmp_path / "scores/alone", digest, np.linspace(0.5, 2, 100))
    words = ["publish", f"{tmp_path}/out", "--model", f"{tmp_path}/backbone.pt", "--scores", f"{tmp_path}/scores"]
    assert console.run_command(lambda: app(words, standalone_mode=False)) == 1
    assert not (tmp_path / "out").exists()


def test_a_network_of_the_hub_is_downloaded_once_and_pinned(at_hub, published: Path, tmp_path: Path, capsys) -> None:
    found = open_embedder("hf://ann/faces")
    assert found.digest == embedding.load_embedder(published).digest
    assert capsys.readouterr().err.count(f"hf://ann/faces@main is commit {COMMIT}") == 1
    place = tmp_path / "cache/hub/ann--faces" / COMMIT
    origin = json.loads((place / "origin.json").read_text())
    assert (origin["commit"], origin["revision"]) == (COMMIT, "main")
    assert origin["files"].keys() == {
        path.relative_to(published).as_posix() for path in published.rglob("*.*") if path.name != "model.onnx"
    }
    assert origin["files"]["README.md"]["sha256"] == hashlib.sha256((published / "README.md").read_bytes()).hexdigest()
    asked = len(at_hub.asked)
    at_hub.answers.clear()  # as without a network
    assert networks.network_place("hf://ann/faces") == networks.network_place("hf:/ann/faces@main") == place
    assert len(at_hub.asked) == asked


def test_a_recogniser_takes_its_thresholds_too(at_hub, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    recogniser = Recogniser("hf://ann/faces@v1")
    answer = recogniser.compare(photo("ann"), photo("ann"), recogniser.threshold(1e-2))
    assert answer.same
    assert "1e-2 measured on made_up (100 different pairs)" in str(answer)


def test_one_commit_under_two_names_is_downloaded_once(at_hub) -> None:
    networks.network_place("hf://ann/faces")
    files = [path for path in at_hub.asked if "/resolve/" in path]
    networks.network_place("hf://ann/faces@v1")
    assert [path for path in at_hub.asked if "/resolve/" in path] == files


def test_an_interrupted_download_goes_on(at_hub, published: Path, tmp_path: Path) -> None:
    place = f"/ann/faces/resolve/{COMMIT}/model.safetensors"
    content = at_hub.answers.pop(place)
    with pytest.raises(AcquireError, match=r"cannot get model\.safetensors of hf://ann/faces@main: .* 404"):
        networks.network_place("hf://ann/faces")
    assert not (tmp_path / "cache/hub/ann--faces" / COMMIT).exists()
    at_hub.answers[place] = content
    assert networks.network_place("hf://ann/faces").is_dir()
    assert not list((tmp_path / "cache/hub/ann--faces").rglob("*.validator"))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_bytes_that_the_hub_does_not_list_are_refused(at_hub, name: str, tmp_path: Path) -> None:
    place = f"/ann/faces/resolve/{COMMIT}/{name}"
    content = bytearray(at_hub.answers[place])
    content[-1] ^= 1
    at_hub.answers[place] = bytes(content)
    with pytest.raises(AcquireError, match="is not what the hub lists"):
        networks.network_place("hf://ann/faces")
    assert not list((tmp_path / "cache/hub/ann--faces").rglob(name))


def test_what_is_too_large_or_no_model_is_refused_before_the_download(at_hub, monkeypatch) -> None:
    monkeypatch.setenv("FACEREC_DOWNLOAD_GB", "1e-6")
    with pytest.raises(AcquireError, match=r"0\.139504 MB, more than 0\.001 \(FACEREC_DOWNLOAD_GB\)"):
        networks.network_place("hf://ann/faces")
    monkeypatch.delenv("FACEREC_DOWNLOAD_GB")
    answer = {"sha": COMMIT, "siblings": [listed("pytorch_model.bin", b"pickle")]}
    at_hub.answers["/api/models/ann/faces/revision/main"] = json.dumps(answer).encode()
    with pytest.raises(AcquireError, match=r"has no config\.json and no model\.safetensors"):
        networks.network_place("hf://ann/faces")
    assert not [path for path in at_hub.asked if "/resolve/" in path]


def test_a_listing_that_is_none_is_refused(at_hub) -> None:
    place = "/api/models/ann/faces/revision/main"
    for answer, reason in (
        (b"<html>", "web page"),
        (b"[]", "did not answer as the hub does"),
        (b'{"sha": "../../x", "siblings": []}', "did not answer as the hub does"),
        (b"{" * 100_000, "not valid JSON"),
    ):
        at_hub.answers[place] = answer
        with pytest.raises(AcquireError, match=reason):
            networks.network_place("hf://ann/faces")
    with pytest.raises(AcquireError, match="cannot get hf://ann/nothing@main from http://127"):
        networks.network_place("hf://ann/nothing")


def test_names_cannot_lead_elsewhere(at_hub, tmp_path: Path) -> None:
    for address in ("hf://ann", "hf://../ann", "hf://ann/faces@", "hf://ann/faces/more", "hf://ann/faces@../x"):
        with pytest.raises(ParamsError, match="write hf://OWNER/NAME"):
            networks.network_place(address)
    answer = parse_json(at_hub.answers["/api/models/ann/faces/revision/main"], "listing")
    answer["siblings"] += [listed("scores/../../../evil/scores.parquet", b"x")]
    at_hub.answers["/api/models/ann/faces/revision/main"] = json.dumps(answer).encode()
    networks.network_place("hf://ann/faces")
    assert not list(tmp_path.rglob("evil"))


def test_http_is_refused_beyond_this_machine(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    with pytest.raises(AcquireError, match="over https only"):
        hub.hub_place(hub.HubAddress("ann", "faces"), tmp_path)
