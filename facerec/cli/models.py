"""Commands for networks: propose a recipe, train, export to ONNX, publish, embed a face set."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facerec import params as parameters
from facerec.cli.common import Json, Model, Out, Panel, Replace, check_out, command, file_place, print_json, report
from facerec.core import ParamsError, write_text
from facerec.params import recipes

if TYPE_CHECKING:
    from torch import device

    from facerec.store.shards import Shards

AllowTorchScript = Annotated[
    bool,
    typer.Option(
        "--allow-torchscript",
        help="Run MODEL if it is TorchScript: a program that can read, change and delete every file of yours.",
    ),
]


@command(Panel.TRAIN)
def train(
    faces: Annotated[
        list[Path] | None, typer.Argument(help="Folders of face shards; those of the experiment without.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Weights to write.", callback=file_place)] = Path("backbone.pt"),
    params: Annotated[Path, typer.Option(help="Where `train:` is read from.")] = Path("params.yaml"),
    trial: Annotated[
        bool, typer.Option("--trial", help="Try the recipe for a few hundred steps: speed, memory, loss; no weights.")
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

    wanted, place = parameters.load_params(params), torch_device()
    sets, recipe = training_sets(faces or [], wanted), wanted.train
    if trial:
        _try(sets, recipe, place, as_json)
        return
    with distributed.joined(place), training.keep_checkpoints(sets, recipe) as checkpoints:
        trained = training.fit(sets, recipe, place, checkpoints)
        if distributed.rank() == 0:
            storage.save_backbone(trained.backbone, out)
            if trained.validations:
                storage.save_backbone(trained.best, out.with_stem(f"{out.stem}_best"))
            report(f"{out}", asdict(trained.history[-1]), as_json)


def training_sets(folders: list[Path], wanted: parameters.Params | None = None) -> list[Shards]:
    """The face sets in these folders, or those that the experiment trains on; ParamsError where none is there."""
    from facerec.store import shards

    if not folders:
        known = [Path("data/faces/train", name) for name in (wanted or parameters.load_params()).training_sets]
        folders = [folder for folder in known if shards.is_shard_set(folder)]
        if not folders:
            named = ", ".join(map(str, known)) or "none"
            raise ParamsError(
                f"no training faces here ({named}): name face sets, or make them with dvc repro align unpack."
            )
    return [shards.read_shards(folder, "faces") for folder in folders]


def _try(sets: list[Shards], recipe: parameters.Train, place: device, as_json: bool) -> None:
    """Try the recipe, and tell what was found."""
    from facerec import distributed
    from facerec.training.trial import try_recipe

    with distributed.joined(place):
        found = try_recipe(sets, recipe, place)
        if distributed.rank() > 0:
            return
    told = asdict(found)
    if not as_json:
        told |= {"loss": " ".join(f"{loss:.3g}" for loss in found.loss), "memory": f"{found.memory / 1e9:.2f} GB"}
        told = {key.replace("_", " "): each for key, each in told.items() if each is not None}
    report("trial, nothing saved", told, as_json)


@command(Panel.TRAIN)
def recipe(
    faces: Annotated[
        list[Path] | None, typer.Argument(help="Directories of face shards; those of the experiment without.")
    ] = None,
    images: Annotated[int | None, typer.Option(min=1, help="Number of images, instead of FACES.")] = None,
    identities: Annotated[int | None, typer.Option(min=1, help="Number of people, instead of FACES.")] = None,
    into: Annotated[Path | None, typer.Option(help="Profile to write it into, such as profiles/mine.yaml.")] = None,
    as_json: Json = False,
) -> None:
    """Propose network, loss, epochs, batch and augmentation for the size of the data and this machine, with reasons."""
    if (images is None) != (identities is None) or (images and faces):
        raise ParamsError("name FACES, or both --images and --identities.")
    if images is None or identities is None:
        sets = training_sets(faces or [])
        images, identities = sum(map(len, sets)), sum(each.classes for each in sets)
    proposed = recipes.propose_recipe(images, identities, recipes.this_machine())
    if into is not None:
        write_text(into, recipes.replace_recipe(into, proposed))
    if as_json:
        print_json({"train": proposed.train, "reasons": proposed.reasons})
        return
    report(f"for {proposed.purpose}", {**proposed.reasons, **({"written": str(into)} if into else {})})
    if into is None:
        sys.stdout.write(recipes.dump({"train": proposed.train}))


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
