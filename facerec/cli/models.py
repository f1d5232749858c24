"""Commands for networks: train, export to ONNX, embed a face set."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from facerec import params as parameters
from facerec.cli.common import Json, Model, Panel, command, file_place, report

AllowTorchScript = Annotated[
    bool,
    typer.Option(
        "--allow-torchscript",
        help="Run MODEL if it is TorchScript: a program that can read, change and delete every file of yours.",
    ),
]


@command(Panel.TRAIN)
def train(
    faces: Annotated[list[Path], typer.Argument(help="Directories of face shards.")],
    out: Annotated[Path, typer.Option(help="Weights to write.", callback=file_place)] = Path("backbone.pt"),
    params: Annotated[Path, typer.Option(help="Where `train:` is read from.")] = Path("params.yaml"),
    trial: Annotated[
        bool, typer.Option("--trial", help="Only try the recipe: nothing is written, and its speed is told.")
    ] = False,
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
            pace = trained.pace.describe(recipe.batch) if trial else {}
            report("trial, nothing saved" if trial else f"{out}", asdict(trained.history[-1]) | pace, as_json)


@command(Panel.TRAIN)
def onnx(
    model: Annotated[Path, typer.Argument(help="Weights written by train.")],
    out: Annotated[Path, typer.Argument(help="ONNX file to write.", callback=file_place)],
    allow_torchscript: AllowTorchScript = False,
    as_json: Json = False,
) -> None:
    """Write ONNX with the preprocessing inside, checked against torch."""
    from facerec.embedding import export

    report(f"{out}", {"max_difference": export.export_onnx(model, out, allow_torchscript)}, as_json)


@command(Panel.MEASURE)
def embed(
    model: Model,
    faces: Annotated[Path, typer.Argument(help="Directory of face shards.")],
    out: Annotated[Path, typer.Argument(help="NAME.npy to write; NAME.parquet goes beside it.", callback=file_place)],
    allow_torchscript: AllowTorchScript = False,
    engine: Annotated[str, typer.Option(help="What runs the network: torch, fused, bf16, onnxruntime.")] = "torch",
) -> None:
    """Embed every face of a set."""
    from facerec.embedding.embed_set import embed_face_set

    embed_face_set(model, faces, out, allow_torchscript, engine)
