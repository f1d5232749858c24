"""Commands for networks: train, export to ONNX, publish, embed a face set."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from facerec import params as parameters
from facerec.cli.common import Json, Model, Out, Panel, Replace, check_out, command, file_place, report

AllowTorchScript = Annotated[
    bool,
    typer.Option(
        "--allow-torchscript",
        help="Run MODEL if it is TorchScript: a program that can read, change and delete every file of yours.",
    ),
]


@command(Panel.TRAIN)
def train(
    faces: Annotated[list[Path], typer.Argument(help="Folders of face shards.")],
    out: Annotated[Path, typer.Option(help="Weights to write.", callback=file_place)] = Path("backbone.pt"),
    params: Annotated[Path, typer.Option(help="Where `train:` is read from.")] = Path("params.yaml"),
    trial: Annotated[bool, typer.Option("--trial", help="Only try the recipe: nothing is written.")] = False,
    as_json: Json = False,
) -> None:
    """Train a network with the recipe of params.yaml; a training that was stopped goes on where it was.

    Where the recipe has benchmarks judged, the best weights go to NAME_best.pt beside OUT.
    """
    from facerec.distributed import launching

    if launching.should_launch():
        launching.launch(["facerec", *sys.argv[1:]])
        return
    from facerec import distributed, training
    from facerec.backbones import storage
    from facerec.core import torch_device
    from facerec.store import shards

    sets = [shards.read_shards(folder, "faces") for folder in faces]
    recipe, place = parameters.load_params(params).train, torch_device()
    kept = nullcontext() if trial else training.keep_checkpoints(sets, recipe)
    with distributed.joined(place), kept as checkpoints:
        trained = training.fit(sets, recipe, place, checkpoints)
        if distributed.rank() == 0:
            if not trial:
                storage.save_backbone(trained.backbone, out)
            if trained.validations and not trial:
                storage.save_backbone(trained.best, out.with_stem(f"{out.stem}_best"))
            report("trial, nothing saved" if trial else f"{out}", asdict(trained.history[-1]), as_json)


@command(Panel.TRAIN)
def onnx(
    model: Model,
    out: Annotated[Path, typer.Argument(help="ONNX file to write.", callback=file_place)],
    allow_torchscript: AllowTorchScript = False,
    as_json: Json = False,
) -> None:
    """Write ONNX with the preprocessing inside, checked against torch."""
    from facerec.embedding import export

    report(f"{out}", {"max_difference": export.export_onnx(model, out, allow_torchscript)}, as_json)


@command(Panel.TRAIN)
def publish(
    out: Out,
    model: Annotated[
        str | None,
        typer.Option(
            help="backbone.pt, published weights, or a model of the catalog; else params.yaml's.", metavar="NAME|PATH"
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call it on its card; by default as OUT.")] = None,
    scores: Annotated[
        Path, typer.Option(help="Folder of folders that verify wrote; those of this network go along.")
    ] = Path("data/scores"),
    licence: Annotated[str, typer.Option(help="Licence of the weights, in words; that of the catalog's entry.")] = "",
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Write a network for Hugging Face's hub: weights, ONNX, scores, and a card with metrics and intervals."""
    from facerec.catalog import networks
    from facerec.reporting import publishing

    if model is None:
        model = parameters.load_params("params.yaml").model
    check_out(out, Path(model), replace)
    options = publishing.PublishOptions(name or out.resolve().name, licence or networks.licence_of(model), scores)
    report(f"{out}", publishing.publish_model(networks.network_place(model), out, options), as_json)


@command(Panel.MEASURE)
def embed(
    model: Model,
    faces: Annotated[Path, typer.Argument(help="Folder of face shards.")],
    out: Annotated[Path, typer.Argument(help="NAME.npy to write; NAME.parquet goes beside it.", callback=file_place)],
    allow_torchscript: AllowTorchScript = False,
    engine: Annotated[str, typer.Option(help="What runs the network: torch, fused, bf16 or onnxruntime.")] = "torch",
    as_json: Json = False,
) -> None:
    """Embed every face of a set. Photos without a face are rows of NaN at the end."""
    from facerec.embedding.embed_set import embed_face_set

    embedded = embed_face_set(model, faces, out, allow_torchscript, engine)
    rows, dim = embedded.matrix.shape
    failed = int((embedded.matrix[:, 0] != embedded.matrix[:, 0]).sum())
    report(f"{out}", {"faces": rows - failed, "failures": failed, "dim": dim}, as_json)
