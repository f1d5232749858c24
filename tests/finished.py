"""A small run as its stages leave it, for the tests of the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facerec import params
from facerec.catalog.entries import CatalogEntry, load_entry
from facerec.core import write_json, write_text
from facerec.evaluation.identification import on_files
from facerec.evaluation.open_set import on_files as open_files
from facerec.evaluation.verification.on_files import VerifyOptions, verify_files
from facerec.imaging import sheets
from facerec.params import Params
from facerec.reporting import run_figures, summary
from facerec.reporting.report import RunReport
from facerec.store import embeddings, pairs
from facerec.store.embeddings import Embeddings
from tests.conftest import ROOT

PEOPLE, PHOTOS, DIM = 20, 6, 16
EMPTY = '<svg xmlns="http://www.w3.org/2000/svg" width="442" height="374"/>\n'


def default() -> Params:
    """The parameters of the default experiment."""
    return params.load_params(ROOT / "profiles/default.yaml")


def make(root: Path, run: Params, drawn: bool = False, **entries: CatalogEntry) -> RunReport:
    """The results of `run` below `root`; `entries` stand in for those of the catalog.

    Its figures are drawn, which takes seconds, or stand there empty.
    """
    known = {name: load_entry(name) for name in run.entries} | entries
    sources = summary.Sources(run, root / "metrics", root / "curves", root / "scores")
    for number, name in enumerate(run.benchmarks):
        verified(sources, root, name, noise=1 + number / 2)
    for name in run.identification:
        identified(sources, root, name)
    for name, task in run.openset.items():
        opened(sources, root, name, task.benchmark)
    measured(sources)
    planned = list(run_figures.plan_figures(sources, summary.collect_metrics(sources)))
    if drawn:
        run_figures.write_figures(planned, root / "figures")
    else:
        write_json(root / "figures/index.json", run_figures.index_figures(planned))
        for each in planned:
            write_text(root / f"figures/{each.name}.svg", EMPTY)
    return RunReport(sources, root / "figures", root / "sheets", known)


def opened(sources: summary.Sources, root: Path, name: str, benchmark: str) -> None:
    """What the stage openset leaves, whatever the protocol of the task."""
    options = open_files.OpenSetOptions("drawn", gallery=2, trials=3)
    open_files.measure_files(root / f"{benchmark}.npy", options).write(sources.scores / name)


def people(noise: float, seed: int) -> Embeddings:
    """Embeddings around a centre a person."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(PEOPLE, 1, DIM))
    matrix = (centres + noise * rng.normal(size=(PEOPLE, PHOTOS, DIM))).reshape(-1, DIM).astype(np.float32)
    names = [f"p{person:02d}" for person in range(PEOPLE) for _ in range(PHOTOS)]
    return Embeddings(matrix, [f"{name}/{number}.jpg" for number, name in enumerate(names)], names)


def verified(sources: summary.Sources, root: Path, name: str, noise: float) -> None:
    """What the stage verify leaves."""
    rng = np.random.default_rng(7)
    same = np.arange(200) % 2 == 0
    first = rng.integers(0, PEOPLE * PHOTOS, 200)
    second = np.where(same, first // PHOTOS * PHOTOS + rng.integers(0, PHOTOS, 200), first - PHOTOS)
    embeddings.write_embeddings(people(noise, 1), root / f"{name}.npy")
    listed = pairs.Pairs(first, second % (PEOPLE * PHOTOS), same)
    pairs.write_pairs(listed, root / f"{name}.parquet.pairs.parquet")
    options = VerifyOptions(far=0.1, trials=20)
    judged = verify_files(root / f"{name}.npy", root / f"{name}.parquet.pairs.parquet", options, sources.scores / name)
    write_json(sources.curves / f"{name}_roc.json", {"roc": judged.roc()})
    picture(root / f"sheets/pairs/{name}.jpg")


def identified(sources: summary.Sources, root: Path, name: str) -> None:
    """What the stages of identification leave."""
    probes, strangers = people(1.5, 2), people(1.5, 3)
    embeddings.write_feature_sets(_normal(probes), _normal(strangers), root / "features")
    runs = {run: on_files.identify_files(root / "features", (1e-2,), 0, 10, 1) for run in ("raw", "cleaned")}
    on_files.write_identification(runs, sources.scores / name)
    noise = {f"{who}_{what}": 3 for who in ("probes", "distractors") for what in ("listed", "matched")}
    write_json(sources.metrics / f"denoise/{name}.json", {name: {"noise": noise}})


def _normal(found: Embeddings) -> Embeddings:
    lengths = np.linalg.norm(found.matrix, axis=1, keepdims=True)
    return Embeddings(found.matrix / lengths, found.sources, found.identities)


def measured(sources: summary.Sources) -> None:
    """What the other stages leave: counts, and curves of a training."""
    run = sources.params
    held = {"photos": 120, "identities": 20, "pairs": None, "bytes": 1_234_567, "sha256": "ab" * 32}
    found = {"photos": 120, "with_face": 118, "several_faces": 2, "faces": 121, "undecodable": 1}
    aligned: dict[str, Any] = {
        "photos": 120,
        "faces": 119,
        "failures": 1,
        "enrolled": 119 / 120,
        "identities": 20,
        "several": 0.02,
        "rungs": {"detector": 118, "retry": 1},
        "fallbacks": 1,
        "reasons": {"undecodable": 1},
        "residual_median": 2.25,
        "residual_p95": 5.5,
        "score_min": 0.71,
        "score_p05": 0.97,
    }
    for name in run.entries:
        write_json(sources.metrics / f"download/{name}.json", {name: held})
    for name in run.packs:
        write_json(sources.metrics / f"unpack/{name}.json", {name: {"train": 120, "lfw": 40}})
    for name in run.photos:
        sides = {"shortest_side": 200, "longest_side": 640}
        write_json(sources.metrics / f"detect/{name}.json", {name: found | sides})
        write_json(sources.metrics / f"align/{name}.json", {name: aligned})
        for kind in ("photos", "faces"):
            picture(sources.metrics.parent / f"sheets/{kind}/{name}.jpg")
    for name in run.networks:
        trained(sources, name)


def trained(sources: summary.Sources, name: str) -> None:
    """What the stages train and export leave."""
    last = {"train_loss": 1.5, "train_accuracy": 0.9, "images": 240, "identities": 40, "epochs": 3}
    write_json(sources.metrics / f"train/{name}.json", {name: last})
    for key in ("loss", "accuracy"):
        curve = [{"epoch": epoch, key: 1 / epoch} for epoch in (1, 2, 3)]
        write_json(sources.curves / f"{name}_{key}.json", {key: curve})
    files = {f"{name}{suffix}": {"bytes": 400_000, "sha256": "cd" * 32} for suffix in (".pt", ".onnx")}
    prepared = {"size": [112, 112], "template": "arcface-112", "flip": "sum"}
    facts = {"digest": "ef" * 32, "backbone": "mobilefacenet", "parameters": 91_232, "dim": 128, "files": files}
    export = {**facts, "preprocessing": prepared, "input_size": [112, 112], "tolerance": 1e-4}
    write_json(sources.metrics / f"export/{name}.json", export)


def picture(path: Path) -> None:
    """Something to see, as wide as a sheet."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 60, 3)).repeat(20, 0).repeat(20, 1)
    sheets.write_sheet(pixels.astype(np.uint8), path, 50)
