"""Commands that judge embeddings: verification and MegaFace-style identification."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facerec import params as parameters
from facerec.cli.common import Json, Out, app, report
from facerec.cli.models import Model

megaface = typer.Typer(help="MegaFace-style identification.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(megaface, name="megaface")

Features = Annotated[Path, typer.Argument(help="Directory of probe and distractor features.")]
VERIFY, IDENTIFY = parameters.Verify(), parameters.Identify()


@app.command()
def verify(
    embedded: Annotated[Path, typer.Argument(help="NAME.npy written by embed.")],
    pairs: Annotated[Path, typer.Argument(help="pairs.txt of LFW, or pairs.parquet.")],
    protocol: Annotated[str, typer.Option(help="insightface, concat-mean or youden.")] = VERIFY.protocol,
    far: Annotated[float, typer.Option(help="False accept rate to read TAR at.")] = VERIFY.far,
    out: Annotated[Path, typer.Option(help="Directory for every pair's score.")] = Path("scores"),
    as_json: Json = False,
) -> None:
    """Same person or not: accuracy over 10 folds, TAR at FAR, AUC, EER."""
    from facerec import evaluation

    result = evaluation.verify(embedded, pairs, protocol, far, out)
    report(f"{len(result.same)} pairs, protocol {protocol}", result.metrics(), as_json)


@megaface.command()
def features(
    model: Model,
    probes: Annotated[Path, typer.Argument(help="Face shards of the probes.")],
    distractors: Annotated[Path, typer.Argument(help="Face shards of the distractors.")],
    out: Out,
) -> None:
    """L2-normalised features of probes and distractors."""
    from facerec.embed_set import feature_set
    from facerec.formats import embeddings

    embeddings.write_features(feature_set(model, probes), feature_set(model, distractors), out)


@megaface.command()
def denoise(
    features: Features,
    probe_noises: Annotated[Path, typer.Argument(help="List of mislabelled probes.")],
    distractor_noises: Annotated[Path, typer.Argument(help="List of distractors that are probe people.")],
    out: Out,
    variant: Annotated[str, typer.Option(help="published or delete.")] = IDENTIFY.noise,
    seed: Annotated[int, typer.Option(help="Seed of the published variant.")] = IDENTIFY.seed,
    as_json: Json = False,
) -> None:
    """Remove the published noise from features."""
    from facerec import evaluation

    cleaned = evaluation.denoise(features, probe_noises, distractor_noises, variant, seed, out)
    report("Noise", cleaned.metrics(), as_json)


@megaface.command()
def identify(
    features: Features,
    fpr: Annotated[list[float] | None, typer.Option(help="False positive rate; repeatable.")] = None,
    devkit: Annotated[Path | None, typer.Option(help="Directory for the devkit's JSON files.")] = None,
    as_json: Json = False,
) -> None:
    """Rank every probe's mates among the distractors: rank-1 and TPR at FPR."""
    from facerec import evaluation

    result = evaluation.identify(features, fpr or IDENTIFY.fprs)
    if devkit is not None:
        evaluation.write_identification({"identify": result}, devkit)
    report("Identification", result.metrics(), as_json)
