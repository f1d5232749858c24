"""Commands that measure: verification, quality, MegaFace-style identification, and curves of several runs in one figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from facerec import params as parameters
from facerec.cli.commands import HELP, PlainGroup, app
from facerec.cli.common import (
    Json,
    Model,
    Out,
    Panel,
    command,
    file_place,
    folder_place,
    network_place,
    optional_file_place,
    print_json,
    report,
    show_table,
)
from facerec.core import ParamsError, note, rate_name, require_path

VERIFY, IDENTIFY = parameters.Verify.model_construct(), parameters.Identify.model_construct()
VARIANTS = "published, centre, zero or delete"

megaface = typer.Typer(
    cls=PlainGroup,
    help="MegaFace-style identification.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings=HELP,
)
app.add_typer(megaface, name="megaface", rich_help_panel=Panel.MEASURE)

Features = Annotated[Path, typer.Argument(help="Folder of probe and distractor features.")]
Algorithm = Annotated[str, typer.Option(help="NAME in the feature files' PHOTO_NAME.bin.")]
Fprs = Annotated[list[float] | None, typer.Option("--fpr", help="False positive rate; repeatable.")]


@command(Panel.MEASURE)
def verify(
    embedded: Annotated[Path | None, typer.Argument(help="NAME.npy written by embed.")] = None,
    pairs: Annotated[Path | None, typer.Argument(help="pairs.txt of LFW, pairs.parquet, or another list.")] = None,
    embeddings: Annotated[Path | None, typer.Option(help="Instead: .npy (2n, d), pair i in rows 2i, 2i + 1.")] = None,
    same: Annotated[Path | None, typer.Option(help="With --embeddings: .npy (n,) of true and false.")] = None,
    protocol: Annotated[str, typer.Option(help="insightface, concat-mean or youden.")] = VERIFY.protocol,
    far: Annotated[float, typer.Option(help="False accept rate to read TAR at.")] = VERIFY.far,
    bootstrap: Annotated[int, typer.Option(help="Trials of the bootstrap over identities.")] = VERIFY.bootstrap,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = VERIFY.seed,
    attributes: Annotated[
        Path | None, typer.Option(help="Table keyed by photo or identity, or folder of lists: results by group.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for every pair's score.", callback=folder_place)] = Path("scores"),
    as_json: Json = False,
) -> None:
    """Same person or not: accuracy over 10 folds, TAR at FAR, AUC, EER, each with its interval."""
    from facerec.evaluation.verification import on_files
    from facerec.reporting import slice_tables

    for path in filter(None, (embedded, pairs, embeddings, same)):
        require_path(path, "`facerec embed` writes embeddings, `facerec verify --help` says what pairs are")
    options = on_files.VerifyOptions(protocol, far, bootstrap, seed)
    if embedded and pairs and not (embeddings or same):
        judged = on_files.verify_files(embedded, pairs, options, out)
    elif embeddings and same and not (embedded or pairs or attributes):
        judged = on_files.verify_arrays(embeddings, same, options)
    else:
        raise ParamsError(
            "verify takes EMBEDDED and PAIRS, also with --attributes, or --embeddings and --same; see `facerec verify --help`."
        )
    slices = {"slices": on_files.slice_scores(out, attributes, options)} if attributes else {}
    if judged.doubt:
        note(judged.doubt)
    found = judged.metrics()
    if not found["tar_supported"]:
        counted = f"{found['pairs'] - found['genuine']:,}, so it is left out; name a higher --far"
        note(f"TAR at FAR {rate_name(far)} needs {found['tar_pairs_needed']:,} impostor pairs, and there are {counted}")
    if as_json:
        found |= {
            "fold_accuracy": judged.details()["fold_accuracy"],
            "people_in_several_folds": judged.shared,
            **slices,
        }
    report(f"{len(judged.result.same)} pairs, protocol {protocol}", found, as_json)
    for each in slices.values() if not as_json else ():
        for table in slice_tables.slice_tables(embedded.stem if embedded else "", each):
            show_table(table.header, table.rows, table.note)


@command(Panel.MEASURE)
def quality(
    faces: Annotated[Path, typer.Argument(help="NAME.npy written by embed, or face shards with --model.")],
    pairs: Annotated[Path | None, typer.Argument(help="List of pairs, for error-versus-reject curves.")] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Network that embeds the face shards: a file, a folder or a name.",
            metavar="NAME|PATH",
            callback=network_place,
        ),
    ] = None,
    qualities: Annotated[Path | None, typer.Option(help="Table, .csv or .parquet, with a column photo.")] = None,
    column: Annotated[
        str, typer.Option(help="With --qualities: the column that holds them; higher is better.")
    ] = "quality",
    far: Annotated[float, typer.Option(help="False accept rate at which the threshold is set.")] = VERIFY.far,
    picture: Annotated[
        Path | None, typer.Option(help="Picture of the curves to write, .png or .svg.", callback=optional_file_place)
    ] = None,
    as_json: Json = False,
) -> None:
    """Quality of faces by the length of their embeddings, and how many errors rejecting the worst of them saves."""
    from facerec.evaluation.verification import on_files

    if picture and not pairs:
        raise ParamsError("--picture draws error-versus-reject curves, which need PAIRS.")
    embedded = None
    if model:
        from facerec.embedding.embed_set import embed_face_set

        embedded = embed_face_set(model, faces)
    rated = on_files.rate_faces(embedded or faces, qualities, column)
    found = rated.metrics()
    if pairs:
        rejected = on_files.reject_worst(rated, pairs, far)
        found |= rejected.to_dict() if as_json else rejected.metrics()
        if picture:
            from facerec.reporting import figures

            figures.save_figure(figures.reject_figure(rejected.curves, far), picture)
    report(f"Quality by {rated.name}", found, as_json)


@command(None, None, megaface)
def features(
    model: Model,
    probes: Annotated[Path, typer.Argument(help="Face shards of the probes.")],
    distractors: Annotated[Path, typer.Argument(help="Face shards of the distractors.")],
    out: Out,
) -> None:
    """L2-normalised features of probes and distractors."""
    from facerec.embedding.embed_set import embed_features

    embed_features(model, probes, distractors, out)


@command(None, "import", megaface)
def import_features(
    folder: Annotated[Path, typer.Argument(help="Holds the devkit's facescrub/ and megaface/.")],
    probe_list: Annotated[Path, typer.Argument(help="facescrub_features_list.json or the like.")],
    distractor_list: Annotated[Path, typer.Argument(help="megaface_features_list.json or the like.")],
    out: Out,
    algorithm: Algorithm = "facerec",
    as_json: Json = False,
) -> None:
    """Features out of the devkit's folders of .bin files."""
    from facerec.evaluation.identification import on_files

    counts = on_files.import_features(folder, probe_list, distractor_list, algorithm, out)
    report("Imported", counts, as_json)


@command(None, None, megaface)
def export(features: Features, out: Out, algorithm: Algorithm = "facerec", as_json: Json = False) -> None:
    """Features into the devkit's folders of .bin files, with their lists."""
    from facerec.evaluation.identification import on_files

    report("Exported", on_files.export_features(features, algorithm, out), as_json)


@command(None, "scores", megaface)
def write_scores(features: Features, out: Out, as_json: Json = False) -> None:
    """The devkit's score files: every probe against every probe and every distractor."""
    from facerec.evaluation.identification import on_files

    report("Scores", on_files.write_devkit_scores(features, out), as_json)


@command(None, None, megaface)
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
    from facerec.evaluation.identification import on_files

    cleaned = on_files.denoise_files(features, probe_noises, distractor_noises, variant, seed, out)
    report("Noise", cleaned.metrics(), as_json)


@command(None, None, megaface)
def identify(
    features: Annotated[
        Path | None, typer.Argument(help="Folder of features; without it, name the files by the options below.")
    ] = None,
    probes: Annotated[Path | None, typer.Option(help="P.npy, L2-normalised, a row for each face.")] = None,
    ids: Annotated[Path | None, typer.Option(help="Identity of each probe, one per line.")] = None,
    distractors: Annotated[Path | None, typer.Option(help="D.npy, L2-normalised, a row for each face.")] = None,
    noise: Annotated[str | None, typer.Option(help=f"Noise removal: {VARIANTS}; needs the four lists below.")] = None,
    probe_list: Annotated[Path | None, typer.Option(help="Photo of each probe, one per line.")] = None,
    probe_noises: Annotated[Path | None, typer.Option(help="List of mislabelled probes.")] = None,
    distractor_list: Annotated[Path | None, typer.Option(help="Photo of each distractor, one per line.")] = None,
    distractor_noises: Annotated[Path | None, typer.Option(help="List of noisy distractors.")] = None,
    fpr: Fprs = None,
    sweeps: Annotated[int, typer.Option(help="Random sets cut into 10, 100, 1,000 ... distractors.")] = 0,
    bootstrap: Annotated[int, typer.Option(help="Trials of the bootstrap over identities, for 95 % intervals.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the noise removal, the sweeps and the bootstrap.")] = IDENTIFY.seed,
    devkit: Annotated[Path | None, typer.Option(help="Folder for the devkit's JSON files.")] = None,
    as_json: Json = False,
) -> None:
    """Rank every probe's mates among the distractors: rank-1 and TPR at FPR."""
    from facerec.evaluation.identification import on_files

    fprs = fpr or list(IDENTIFY.fprs)
    counts: dict[str, int] = {}
    if features is not None:
        _require_none("a directory of features", probes, ids, distractors, noise, probe_list, distractor_list)
        judged = on_files.identify_files(features, fprs, sweeps, bootstrap, seed)
    else:
        rows, people, strangers = _require_all(
            "FEATURES, or --probes, --ids and --distractors", probes, ids, distractors
        )
        needed = "--noise with --probe-list, --probe-noises, --distractor-list and --distractor-noises"
        noisy = (probe_list, probe_noises, distractor_list, distractor_noises)
        listed = None
        if noise is None:
            _require_none("no --noise", *noisy)
        else:
            listed = on_files.NoiseLists(noise, *_require_all(needed, *noisy))
        judged, counts = on_files.identify_npy(rows, people, strangers, fprs, listed, sweeps, bootstrap, seed)
    if judged.doubt:
        note(judged.doubt)
    if devkit is not None:
        on_files.write_identification({"identify": judged}, devkit)
    shown: dict[str, Any] = judged.answer() if as_json else judged.result.metrics()
    report("Identification", {**shown, **({"noise": counts} if counts else {})}, as_json)


@command(None, "published", megaface)
def show_published(
    result: Annotated[Path, typer.Argument(help="cmc_*.json of the devkit.")], fpr: Fprs = None, as_json: Json = False
) -> None:
    """Rank-1 and TPR at FPR of a devkit JSON, in the three readings in use."""
    from facerec.evaluation.identification.devkit import read_published

    found = read_published(result).metrics(tuple(fpr or IDENTIFY.fprs))
    flat = {f"tpr@{rate} {name}": tpr for rate, read in found["tpr"].items() for name, tpr in read.items()}
    shown = {"rank1": found["rank1"], **flat, "distractors": found["distractors"]}
    report(f"{result}", found if as_json else shown, as_json)


def _require_all(what: str, *given: Path | None) -> list[Path]:
    chosen = [path for path in given if path is not None]
    if len(chosen) < len(given):
        raise ParamsError(f"Give {what}.")
    return chosen


def _require_none(what: str, *given: object) -> None:
    if any(value is not None for value in given):
        raise ParamsError(f"With {what} leave out the options that belong to plain files.")


@command(Panel.MEASURE)
def figure(
    out: Annotated[Path, typer.Argument(help="Picture to write, .png or .svg.", callback=file_place)],
    curves: Annotated[list[str], typer.Argument(help="NAME=FILE: our curves or a devkit's cmc_*.json; repeatable.")],
    kind: Annotated[str, typer.Option(help="What the files hold: roc or cmc.")] = "roc",
    title: Annotated[str, typer.Option(help="Title; a plain one by default.", metavar="TEXT")] = "",
    as_json: Json = False,
) -> None:
    """Draw the curves of several runs, models or systems in one figure."""
    from facerec.reporting import figures, overlay

    files: dict[str, Path] = {}
    for word in curves:
        name, equals, path = word.partition("=")
        if not (equals and name and path):
            raise ParamsError(f"figure takes NAME=FILE, not {word!r}.")
        if name in files:
            raise ParamsError(f"two curves are named {name}; give each its own name.")
        files[name] = Path(path)
    figures.save_figure(overlay.overlay_curves(files, kind, title), out)
    if as_json:
        print_json({"written": str(out), "kind": kind, "curves": list(files)})
