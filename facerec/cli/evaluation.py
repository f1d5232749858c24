"""Commands that judge embeddings: verification."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facerec import params as parameters
from facerec.cli.common import Json, app, report
from facerec.core import ParamsError, console

VERIFY = parameters.Verify()


@app.command()
def verify(
    embedded: Annotated[Path | None, typer.Argument(help="NAME.npy written by embed.")] = None,
    pairs: Annotated[
        Path | None, typer.Argument(help="pairs.txt of LFW, pairs.parquet, or another list.")
    ] = None,
    embeddings: Annotated[
        Path | None, typer.Option(help="Instead: .npy (2n, d), pair i in rows 2i, 2i + 1.")
    ] = None,
    same: Annotated[Path | None, typer.Option(help="With --embeddings: .npy (n,) of true and false.")] = None,
    protocol: Annotated[str, typer.Option(help="insightface, concat-mean or youden.")] = VERIFY.protocol,
    far: Annotated[float, typer.Option(help="False accept rate to read TAR at.")] = VERIFY.far,
    bootstrap: Annotated[
        int, typer.Option(help="Trials of the bootstrap over identities.")
    ] = VERIFY.bootstrap,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = VERIFY.seed,
    out: Annotated[Path, typer.Option(help="Directory for every pair's score.")] = Path("scores"),
    as_json: Json = False,
) -> None:
    """Same person or not: accuracy over 10 folds, TAR at FAR, AUC, EER, each with its interval."""
    from facerec.evaluation.verification import on_files

    options = on_files.VerifyOptions(protocol, far, bootstrap, seed)
    if embedded and pairs and not (embeddings or same):
        judged = on_files.verify_files(embedded, pairs, options, out)
    elif embeddings and same and not (embedded or pairs):
        judged = on_files.verify_arrays(embeddings, same, options)
    else:
        raise ParamsError(
            "verify takes EMBEDDED and PAIRS, or --embeddings and --same; see `facerec verify --help`."
        )
    if judged.doubt:
        console.note(judged.doubt)
    found = judged.metrics()
    if as_json:
        found |= {"fold_accuracy": judged.details()["fold_accuracy"]}
    report(f"{len(judged.result.same)} pairs, protocol {protocol}", found, as_json)
