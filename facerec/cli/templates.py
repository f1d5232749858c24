"""Commands for benchmarks of templates and of tiny faces: IJB-B, IJB-C, TinyFace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facerec.cli.common import Json, Panel, command, file_place, print_json, report
from facerec.core import ParamsError, write_json

Trials = Annotated[int, typer.Option(help="Trials of the bootstrap over subjects, for 95 % intervals.")]
Seed = Annotated[int, typer.Option(help="Seed of the bootstrap.")]


def _file(path: Path | None) -> Path | None:
    return path if path is None else file_place(path)


@command(Panel.MEASURE)
def ijb(
    lists: Annotated[Path, typer.Argument(help="Folder of the published lists, such as IJBC/meta.")],
    embedded: Annotated[Path | None, typer.Argument(help="NAME.npy written by embed, of the photos listed.")] = None,
    features: Annotated[
        Path | None, typer.Option(help="Instead: .npy (faces, d), a row a line of the lists, as others save them.")
    ] = None,
    scores: Annotated[Path | None, typer.Option(help="Instead: .npy (pairs,), a score a line of the pairs.")] = None,
    weighting: Annotated[
        str, typer.Option(help="How a face weighs in its template: norm-detector, norm, detector or none.")
    ] = "norm-detector",
    flip: Annotated[
        bool, typer.Option("--flip", help="The rows of --features hold photo and mirror image side by side; add them.")
    ] = False,
    bootstrap: Trials = 0,
    seed: Seed = 1,
    roc: Annotated[Path | None, typer.Option(help="File for the ROC's points, for figure.", callback=_file)] = None,
    as_json: Json = False,
) -> None:
    """IJB-B and IJB-C: TAR at FAR 1e-6 to 1e-1 of template pairs, and search of two galleries.

    A TAR is read at or below its FAR; "nearest" is the reading of InsightFace's tables, beside it.
    """
    from facerec.evaluation.templates import on_files

    ways = {on_files.measure_embeddings: embedded, on_files.measure_features: features, on_files.measure_scores: scores}
    given = [(measure, path) for measure, path in ways.items() if path is not None]
    if len(given) != 1 or (flip and features is None):
        raise ParamsError("ijb takes one of EMBEDDED, --features and --scores, and --flip only with --features.")
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
    probes: Annotated[Path | None, typer.Option(help="Instead: .npy, a row a probe as the .mat lists them,")] = None,
    gallery: Annotated[Path | None, typer.Option(help="a row a photo of the gallery likewise,")] = None,
    distractors: Annotated[Path | None, typer.Option(help="and a row a distractor.")] = None,
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
