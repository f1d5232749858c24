"""Commands that get data and turn its formats into each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from facerec.cli.common import Json, Out, app, report
from facerec.errors import ParamsError


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
