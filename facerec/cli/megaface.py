"""Commands of MegaFace-style identification: features in and out, noise, ranks, published results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from facerec import params as parameters
from facerec.cli.common import Json, Out, app, report
from facerec.cli.models import Model
from facerec.core import ParamsError

megaface = typer.Typer(help="MegaFace-style identification.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(megaface, name="megaface")

Features = Annotated[Path, typer.Argument(help="Directory of probe and distractor features.")]
Algorithm = Annotated[str, typer.Option(help="NAME in the feature files' PHOTO_NAME.bin.")]
Fprs = Annotated[list[float] | None, typer.Option("--fpr", help="False positive rate; repeatable.")]
IDENTIFY = parameters.Identify()
VARIANTS = "published, centre, zero or delete"


@megaface.command()
def features(
    model: Model,
    probes: Annotated[Path, typer.Argument(help="Face shards of the probes.")],
    distractors: Annotated[Path, typer.Argument(help="Face shards of the distractors.")],
    out: Out,
) -> None:
    """L2-normalised features of probes and distractors."""
    from facerec.embedding.embed_set import feature_set
    from facerec.store import embeddings

    embeddings.write_feature_sets(feature_set(model, probes), feature_set(model, distractors), out)


@megaface.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(help="Holds the devkit's facescrub/ and megaface/.")],
    probe_list: Annotated[Path, typer.Argument(help="facescrub_features_list.json or the like.")],
    distractor_list: Annotated[Path, typer.Argument(help="megaface_features_list.json or the like.")],
    out: Out,
    algorithm: Algorithm = "facerec",
    as_json: Json = False,
) -> None:
    """Features out of the devkit's folders of .bin files."""
    from facerec.evaluation.identification import on_files as evaluation

    counts = evaluation.import_features(folder, probe_list, distractor_list, algorithm, out)
    report("Imported", counts, as_json)


@megaface.command()
def export(features: Features, out: Out, algorithm: Algorithm = "facerec", as_json: Json = False) -> None:
    """Features into the devkit's folders of .bin files, with their lists."""
    from facerec.evaluation.identification import on_files as evaluation

    report("Exported", evaluation.export_features(features, algorithm, out), as_json)


@megaface.command("scores")
def scores_(features: Features, out: Out, as_json: Json = False) -> None:
    """The devkit's score files: every probe against every probe and every distractor."""
    from facerec.evaluation.identification import on_files as evaluation

    report("Scores", evaluation.write_devkit_scores(features, out), as_json)


@megaface.command()
def denoise(
    features: Features,
    probe_noises: Annotated[Path, typer.Argument(help="List of mislabelled probes.")],
    distractor_noises: Annotated[Path, typer.Argument(help="List of distractors that are probe people.")],
    out: Out,
    variant: Annotated[str, typer.Option(help=f"{VARIANTS}.")] = IDENTIFY.noise,
    seed: Annotated[int, typer.Option(help="Seed of the published variant.")] = IDENTIFY.seed,
    as_json: Json = False,
) -> None:
    """Remove the published noise from features."""
    from facerec.evaluation.identification import on_files as evaluation

    cleaned = evaluation.denoise_files(features, probe_noises, distractor_noises, variant, seed, out)
    report("Noise", cleaned.metrics(), as_json)


@megaface.command()
def identify(
    features: Annotated[Path | None, typer.Argument(help="Directory of features, or give the files:")] = None,
    probes: Annotated[Path | None, typer.Option(help="P.npy, L2-normalised, a row a face.")] = None,
    ids: Annotated[Path | None, typer.Option(help="Identity of each probe, one a line.")] = None,
    distractors: Annotated[Path | None, typer.Option(help="D.npy, L2-normalised, a row a face.")] = None,
    noise: Annotated[str | None, typer.Option(help=f"Noise removal: {VARIANTS}; needs four lists:")] = None,
    probe_list: Annotated[Path | None, typer.Option(help="Photo of each probe, one a line.")] = None,
    probe_noises: Annotated[Path | None, typer.Option(help="List of mislabelled probes.")] = None,
    distractor_list: Annotated[Path | None, typer.Option(help="Photo of each distractor.")] = None,
    distractor_noises: Annotated[Path | None, typer.Option(help="List of noisy distractors.")] = None,
    fpr: Fprs = None,
    sweeps: Annotated[int, typer.Option(help="Random sets cut into 10, 100, 1,000 ... distractors.")] = 0,
    bootstrap: Annotated[int, typer.Option(help="Draws of the identities for 95 % bands.")] = 0,
    seed: Annotated[int, typer.Option(help="Of noise, sweeps and bands.")] = IDENTIFY.seed,
    devkit: Annotated[Path | None, typer.Option(help="Directory for the devkit's JSON files.")] = None,
    as_json: Json = False,
) -> None:
    """Rank every probe's mates among the distractors: rank-1 and TPR at FPR."""
    from facerec.evaluation.identification import on_files as evaluation

    fprs = fpr or list(IDENTIFY.fprs)
    counts: dict[str, int] = {}
    if features is not None:
        _none("a directory of features", probes, ids, distractors, noise, probe_list, distractor_list)
        judged = evaluation.identify_files(features, fprs, sweeps, bootstrap, seed)
    else:
        files = evaluation.NpyInputs(
            *_all("FEATURES, or --probes, --ids and --distractors", probes, ids, distractors)
        )
        needed = "--noise with --probe-list, --probe-noises, --distractor-list and --distractor-noises"
        noisy = (probe_list, probe_noises, distractor_list, distractor_noises)
        listed = None
        if noise is None:
            _none("no --noise", *noisy)
        else:
            listed = evaluation.NoiseLists(noise, *_all(needed, *noisy))
        result, counts = evaluation.identify_npy(files, listed, fprs, sweeps, seed)
        judged = evaluation.record_result(result, bootstrap, seed)
    if devkit is not None:
        evaluation.write_identification({"identify": judged}, devkit)
    shown: dict[str, Any] = judged.answer() if as_json else judged.result.metrics()
    report("Identification", {**shown, **({"noise": counts} if counts else {})}, as_json)


@megaface.command("published")
def published_(
    result: Annotated[Path, typer.Argument(help="cmc_*.json of the devkit, anyone's.")],
    fpr: Fprs = None,
    as_json: Json = False,
) -> None:
    """Rank-1 and TPR at FPR of a devkit JSON, in the three readings in use."""
    from facerec.evaluation.identification.devkit import read_published

    found = read_published(result).metrics(tuple(fpr or IDENTIFY.fprs))
    flat = {f"tpr@{rate} {name}": tpr for rate, read in found["tpr"].items() for name, tpr in read.items()}
    shown = {"rank1": found["rank1"], **flat, "distractors": found["distractors"]}
    report(f"{result}", found if as_json else shown, as_json)


def _all(what: str, *given: Path | None) -> list[Path]:
    chosen = [path for path in given if path is not None]
    if len(chosen) < len(given):
        raise ParamsError(f"Give {what}.")
    return chosen


def _none(what: str, *given: object) -> None:
    if any(value is not None for value in given):
        raise ParamsError(f"With {what} leave out the options that belong to plain files.")
