"""The `facerec` command: the steps of the graph on plain files, without DVC.

People get tables and progress on standard error; `--json` prints one JSON object on standard output and
nothing else there. Heavy imports happen inside the commands, so that `--help` is quick.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from facerec import console, profiles
from facerec import params as parameters
from facerec.errors import ParamsError

app = typer.Typer(
    help="Face recognition, from photos to CMC and ROC curves. `dvc repro` runs every step; these are the steps.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
megaface = typer.Typer(help="MegaFace-style identification.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(megaface, name="megaface")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Photos = Annotated[Path, typer.Argument(help="Directory of photo shards.")]
Out = Annotated[Path, typer.Argument(help="What to write; replaced whole.")]
Model = Annotated[Path, typer.Argument(help="backbone.pt, an .onnx file, or a downloaded model's directory.")]
Features = Annotated[Path, typer.Argument(help="Directory of probe and distractor features.")]
ALIGN, DETECT, VERIFY, IDENTIFY = (
    parameters.Align(),
    parameters.Detect(),
    parameters.Verify(),
    parameters.Identify(),
)


def main() -> None:
    """Entry point: one clear sentence and an exit code on failure."""
    sys.exit(console.run(app))


def report(title: str, values: dict[str, Any], as_json: bool = False) -> None:
    """Show flat `values` as a table for people, or as JSON for programs."""
    if as_json:
        sys.stdout.write(json.dumps(values, sort_keys=True) + "\n")
        return
    table = Table(title=title, title_justify="left", show_header=False)
    for key, value in values.items():
        table.add_row(key, f"{value:.5g}" if isinstance(value, float) else str(value))
    Console(stderr=True).print(table)


@app.command()
def profile(
    name: Annotated[str, typer.Argument(help="The profile; none lists them.")] = "",
    folder: Annotated[Path, typer.Option(help="Where the profiles are.")] = Path("profiles"),
) -> None:
    """Write params.yaml for a profile, such as lfw; `default` goes back."""
    if not name:
        report("Profiles", {each: profiles.describe(folder, each) for each in profiles.names(folder)})
        return
    profiles.apply(folder, name, Path("params.yaml"))
    report(f"Profile {name}", {"written": "params.yaml", "next": "dvc repro"})


@app.command()
def check(path: Annotated[Path, typer.Argument(help="Parameter file.")] = Path("params.yaml")) -> None:
    """Validate params.yaml; a mistake is named, with what is allowed."""
    parsed = parameters.load(path)
    report(f"{path} is valid", {"model": parsed.model, "benchmarks": ", ".join(parsed.benchmarks)})


@app.command()
def download(
    entry: Annotated[str, typer.Argument(help="Name of a file of data/catalog, such as lfw.")],
    out: Out,
    option: Annotated[list[str] | None, typer.Option(help="key=value of a rendered set; repeatable.")] = None,
) -> None:
    """Fetch or render a data set or model."""
    from facerec import catalog
    from facerec.acquire.sets import acquire

    acquire(catalog.load(entry), out, _options(option or []))


@app.command()
def detect(
    photos: Photos,
    out: Annotated[Path, typer.Argument(help="Parquet table to write.")],
    detector: Annotated[str, typer.Option(help="Name of the detector.")] = DETECT.detector,
    min_face: Annotated[int, typer.Option(help="Smallest face, in pixels.")] = DETECT.min_face,
    as_json: Json = False,
) -> None:
    """Find every face of every photo."""
    from facerec.detection import table

    report("Detection", asdict(table.detect(photos, out, detector, {"min_face": min_face})), as_json)


@app.command()
def align(
    photos: Photos,
    detections: Annotated[Path, typer.Argument(help="Table written by detect.")],
    out: Out,
    size: Annotated[int, typer.Option(help="Side of the crop: a multiple of 112 or 128.")] = ALIGN.size,
    rule: Annotated[str, typer.Option(help="center, largest, score-area or best-score.")] = ALIGN.rule,
    quality: Annotated[int, typer.Option(min=1, max=100, help="JPEG quality.")] = ALIGN.quality,
    as_json: Json = False,
) -> None:
    """Keep one face a photo, warped to the 5-point template."""
    from facerec import enrolment

    options = enrolment.Options(rule, size, quality)
    report("Alignment", asdict(enrolment.align(photos, detections, out, options)), as_json)


@app.command()
def unpack(
    pack: Annotated[Path, typer.Argument(help="Folder with train.rec, train.idx, property and *.bin.")],
    train_out: Annotated[Path, typer.Argument(help="Directory for the training faces.")],
    test_out: Annotated[Path, typer.Argument(help="Directory for the verification packs.")],
    as_json: Json = False,
) -> None:
    """Turn an InsightFace pack into face shards, JPEG bytes untouched."""
    from facerec.formats.unpacking import unpack_pack

    report("Faces", unpack_pack(pack, train_out, test_out), as_json)


@app.command()
def train(
    faces: Annotated[list[Path], typer.Argument(help="Directories of face shards.")],
    out: Annotated[Path, typer.Option(help="Weights to write.")] = Path("backbone.pt"),
    params: Annotated[Path, typer.Option(help="Where `train:` is read from.")] = Path("params.yaml"),
    as_json: Json = False,
) -> None:
    """Train a network with the recipe of params.yaml."""
    from facerec import training
    from facerec.backbones import storage
    from facerec.devices import device
    from facerec.formats import shards

    sets = [shards.read(folder, "faces") for folder in faces]
    trained = training.fit(sets, parameters.load(params).train, device())
    storage.save(trained.backbone, out)
    report(f"{out}", asdict(trained.history[-1]), as_json)


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="Weights written by train.")],
    out: Annotated[Path, typer.Argument(help="ONNX file to write.")],
    as_json: Json = False,
) -> None:
    """Write ONNX with the preprocessing inside, checked against torch."""
    from facerec import export as exporting

    report(f"{out}", {"max_difference": exporting.export(model, out).max_difference}, as_json)


@app.command()
def embed(
    model: Model,
    faces: Annotated[Path, typer.Argument(help="Directory of face shards.")],
    out: Annotated[Path, typer.Argument(help="NAME.npy to write; NAME.parquet goes beside it.")],
) -> None:
    """Embed every face of a set."""
    from facerec.embed_set import embed_set
    from facerec.formats import embeddings

    embeddings.write(embed_set(model, faces), out)


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


@app.command()
def sheet(
    out: Annotated[Path, typer.Argument(help="Picture to write, .png or .jpg.")],
    rows: Annotated[int, typer.Option(min=1, max=100, help="People, one a row.")] = 4,
    columns: Annotated[int, typer.Option(min=1, max=100, help="Photos of each.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the synthetic world.")] = 1,
) -> None:
    """Render a contact sheet of synthetic people."""
    import cv2

    from facerec.acquire.synthetic import world
    from facerec.files import atomic_file

    if out.suffix not in (".png", ".jpg"):
        raise ParamsError(f"a sheet is written as .png or .jpg, not {out.name}.")
    encoded = cv2.imencode(out.suffix, world.sheet(rows, columns, seed)[..., ::-1])[1]
    with atomic_file(out) as temporary:
        temporary.write_bytes(encoded.tobytes())


def _options(pairs: list[str]) -> dict[str, Any]:
    """key=value words as a mapping; values are read as YAML."""
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ParamsError(f"--option takes key=value, not {pair!r}.")
        options[key] = yaml.safe_load(value)
    return options
