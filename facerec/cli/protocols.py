"""Commands for protocols of their own: open sets, templates (IJB-B and IJB-C), tiny faces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facerec.cli.common import Json, Panel, command, folder_place, optional_file_place, print_json, report
from facerec.core import ParamsError, note, write_json

Trials = Annotated[int, typer.Option(help="Trials of the bootstrap over subjects, for 95 % intervals.")]
Seed = Annotated[int, typer.Option(help="Seed of the bootstrap.")]


def _folder(path: Path | None) -> Path | None:
    return path if path is None else folder_place(path)


@command(Panel.MEASURE)
def openset(
    embedded: Annotated[Path, typer.Argument(help="NAME.npy written by embed; the table beside it names its rows.")],
    protocol: Annotated[str, typer.Option(help="blufr, best-rowden-closed, best-rowden-open, drawn, all-pairs.")],
    lists: Annotated[Path | None, typer.Option(help="Folder of the catalog's lfw_protocols.")] = None,
    fusion: Annotated[str, typer.Option(help="Several photos of a person enrolled: max or mean.")] = "max",
    enrolled: Annotated[int, typer.Option(help="Photos of each person in the gallery, for drawn.")] = 1,
    trials: Annotated[int, typer.Option(help="Trials, for drawn.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the trials, for drawn.")] = 1,
    vr_far: Annotated[
        list[float] | None, typer.Option(help="False accept rate at which VR is read; repeatable.")
    ] = None,
    dir_far: Annotated[
        list[float] | None, typer.Option(help="Share of strangers accepted at which DIR is read; repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the result and its curves.", callback=_folder)] = None,
    as_json: Json = False,
) -> None:
    """Open-set protocols: VR over all pairs, DIR among strangers, closed-set rank 1, each over its trials."""
    from facerec.evaluation.open_set import on_files

    fars = {"vr_fars": tuple(vr_far)} if vr_far else {}
    fars |= {"dir_fars": tuple(dir_far)} if dir_far else {}
    options = on_files.OpenSetOptions(protocol, lists, fusion, enrolled, trials, seed, **fars)
    judged = on_files.measure_files(embedded, options)
    for sentence in judged.notes:
        note(sentence)
    if out is not None:
        judged.write(out)
    report(f"{embedded}, protocol {protocol}", judged.result.answer() if as_json else judged.metrics(), as_json)


@command(Panel.MEASURE)
def ijb(
    lists: Annotated[Path, typer.Argument(help="Folder of the published lists, such as IJBC/meta.")],
    embedded: Annotated[Path | None, typer.Argument(help="NAME.npy written by embed, of the photos listed.")] = None,
    features: Annotated[
        Path | None,
        typer.Option(help="Instead: .npy (faces, d), a row for each line of the lists, as others save them."),
    ] = None,
    similarities: Annotated[
        Path | None, typer.Option(help="Instead: .npy (pairs,), one for each line of pairs.")
    ] = None,
    weighting: Annotated[
        str, typer.Option(help="How a face weighs in its template: norm-detector, norm, detector or none.")
    ] = "norm-detector",
    flip: Annotated[
        bool, typer.Option("--flip", help="The rows of --features hold photo and mirror image side by side; add them.")
    ] = False,
    bootstrap: Trials = 0,
    seed: Seed = 1,
    roc: Annotated[
        Path | None,
        typer.Option(
            help="JSON file for the points of the ROC, which `facerec figure` draws.", callback=optional_file_place
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """IJB-B and IJB-C: TAR at FAR 1e-6 to 1e-1 of template pairs, and search of two galleries.

    A TAR is read at or below its FAR; "nearest" is the reading of InsightFace's tables, beside it.
    """
    from facerec.evaluation.templates import on_files

    ways = {
        on_files.measure_embeddings: embedded,
        on_files.measure_features: features,
        on_files.measure_scores: similarities,
    }
    given = [(measure, path) for measure, path in ways.items() if path is not None]
    if len(given) != 1 or (flip and features is None):
        raise ParamsError("ijb takes one of EMBEDDED, --features and --similarities, and --flip only with --features.")
    measure, path = given[0]
    options = on_files.TemplateOptions(weighting, flip, bootstrap, seed, roc is not None)
    found = measure(lists, path, options)
    if roc is not None and found.verification is not None:
        write_json(roc, {"roc": found.verification.roc})
    if as_json:
        print_json(found.answer())
    else:
        report(f"Templates of {lists}", found.rows())


@command(Panel.MEASURE)
def tinyface(
    lists: Annotated[Path, typer.Argument(help="TinyFace's Testing_Set, or a folder with its two .mat files.")],
    embedded: Annotated[Path | None, typer.Argument(help="NAME.npy written by embed, of all photos there.")] = None,
    probes: Annotated[Path | None, typer.Option(help="Instead: .npy, a row for each probe of the .mat lists.")] = None,
    gallery: Annotated[
        Path | None, typer.Option(help="With --probes: .npy, a row for each photo of the gallery.")
    ] = None,
    distractors: Annotated[Path | None, typer.Option(help="With --probes: .npy, a row for each distractor.")] = None,
    bootstrap: Trials = 0,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """TinyFace: rank-1, rank-5 and rank-20 among the photos of the gallery and the distractors."""
    from facerec.evaluation.templates import tinyface as benchmark

    if embedded and not (probes or gallery or distractors):
        found = benchmark.measure_embedded(lists, embedded, bootstrap, seed)
    elif probes and gallery and distractors and not embedded:
        found = benchmark.measure_matrices(lists, probes, gallery, distractors, bootstrap, seed)
    else:
        raise ParamsError("tinyface takes EMBEDDED, or --probes, --gallery and --distractors.")
    report(f"TinyFace of {lists}", found.answer(), as_json)
