"""Commands for data: the catalog, downloads, own photos, and conversions between formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import BaseModel
from rich.table import Table

from facerec.cli.common import (
    Json,
    Out,
    Panel,
    Replace,
    check_out,
    command,
    file_place,
    optional_file_place,
    parse_size,
    parse_values,
    print_json,
    report,
)
from facerec.core import ParamsError, note, shown, terminal

if TYPE_CHECKING:
    from facerec.catalog import entries, user_dataset


New = Annotated[Path, typer.Argument(help="Folder to write; must be new or empty.")]
Arrays = Literal["bgr", "rgb"]
Form = Literal["webdataset", "imagefolder", "parquet", "lfw"]
FORMS = "webdataset, its tars; imagefolder and parquet, of Hugging Face; lfw, as CVAT and Datumaro write it"


@command(Panel.DATA)
def catalog(
    name: Annotated[str | None, typer.Argument(help="An entry to show in full; without one, all are listed.")] = None,
    as_json: Json = False,
) -> None:
    """List the data sets and weights that `facerec download` knows, or show one in full."""
    from facerec.catalog import entries

    if name is not None:
        report(name, _describe_entry(entries.load_entry(name)), as_json)
        return
    rows = [_summarise_entry(entries.load_entry(each)) for each in entries.entry_names()]
    if as_json:
        print_json({"entries": rows})
        return
    lines = [{**row, "MB": "" if row["bytes"] is None else f"{row['bytes'] / 1e6:,.0f}"} for row in rows]
    table, room = Table(box=None, pad_edge=False), terminal().width
    for heading in ("name", "kind", "MB", "how", "here"):  # one line for each entry: only its title is cut
        width = max(len(heading), *(len(line[heading]) for line in lines))
        table.add_column(heading, min_width=width, justify="right" if heading == "MB" else "left")
        room -= width + 1
    table.add_column("what", no_wrap=True, overflow="ellipsis", width=max(room - 1, 8))
    for line in lines:
        table.add_row(*(shown(line[key]) for key in ("name", "kind", "MB", "how", "here", "title")))
    terminal().print(table)


@command(Panel.DATA)
def download(
    entry: Annotated[str, typer.Argument(help="Name of an entry of the catalog, such as lfw.")],
    out: Out,
    option: Annotated[
        list[str] | None, typer.Option(help="Option of a rendered set; repeatable.", metavar="KEY=VALUE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch or render a data set or model of the catalog."""
    from facerec.catalog import entries, sets

    found, options = entries.load_entry(entry), parse_values(option or [], "--option")
    if found.generator is None:
        sets.acquire(found, out, options)
    else:
        from facerec.catalog import synthetic_sets

        synthetic_sets.render_set(found, out, options)
    report(entry, {"kind": found.kind, "written": str(out)}, as_json)


@command(Panel.DATA)
def add(
    photos: Annotated[
        Path, typer.Argument(help="Folder or archive of photos, those of each person in a folder of their own.")
    ],
    name: Annotated[str, typer.Argument(help="What to call them: letters, digits, underscores.")],
    to: Annotated[
        str, typer.Option(help="test: measure a network on them; train: train on them; distractors: strangers.")
    ] = "test",
    test: Annotated[
        list[str] | None,
        typer.Option(
            help="With --to train, what to measure on, repeatable: own (some of the people, held out), own_photos (some "
            "photos of the people trained on, held out), an entry of the catalog with pairs such as lfw, or none. "
            "Without it: own."
        ),
    ] = None,
    held_out: Annotated[float, typer.Option(help="Share of the people, or photos, held out.")] = 0.1,
    model: Annotated[
        str | None, typer.Option(help="Model of the catalog to measure; by default the one trained here.")
    ] = None,
    max_pairs: Annotated[int, typer.Option(min=20, help="Most verification pairs to draw.")] = 6000,
    pairs: Annotated[Path | None, typer.Option(help="Pairs of your own, instead of drawn ones.")] = None,
    depth: Annotated[int, typer.Option(min=1, help="Folders from a photo up to that of its person.")] = 1,
    list_file: Annotated[
        Path | None,
        typer.Option(
            "--list", help="Who is in which photo, lines 'path<TAB>name' or 'path label'; folders then say nothing."
        ),
    ] = None,
    aligned: Annotated[bool, typer.Option("--aligned", help="They are aligned 112x112 faces; detect none.")] = False,
    probe_set: Annotated[
        str | None, typer.Option(help="With --to distractors: the test set whose people are looked for.")
    ] = None,
    profiles: Annotated[Path, typer.Option(help="Where the profiles are.")] = Path("profiles"),
    replace: Annotated[bool, typer.Option("--replace", help="Add again, after a change of the photos.")] = False,
    as_json: Json = False,
) -> None:
    """Make photos of your own a data set of the graph, with pairs to verify on and a profile."""
    from facerec.catalog import user_dataset

    options = user_dataset.AddOptions(
        to, pairs or max_pairs, model, tuple(test or ("own",)), held_out, depth, list_file, aligned, probe_set
    )
    _report_added(name, user_dataset.add_dataset(photos, name, options, profiles, replace), as_json)


def _report_added(name: str, added: user_dataset.AddedDataset, as_json: bool) -> None:
    for each in added.notes:
        note(each)
    written = [str(path) for path in added.written]
    told: dict[str, Any] = {
        "photos": added.photos,
        "identities": added.identities,
        "held_out": added.held_out,
        "held_out_photos": added.held_out_photos,
        "pairs": added.pairs,
        "written": written if as_json else ", ".join(written),
        "next": f"facerec profile {name}, then dvc repro",
    }
    if added.recipe is not None:
        told["recipe"] = (
            added.recipe.reasons if as_json else "\n".join(f"{key}: {why}" for key, why in added.recipe.reasons.items())
        )
    report(name, told, as_json)


@command(Panel.DATA, "import")
def import_photos(
    source: Annotated[Path, typer.Argument(help="Folder or archive (tar, tgz, zip) of photos, or a table.")],
    out: New,
    list_file: Annotated[
        Path | None, typer.Option("--list", help="Lines 'path label'; by default a photo's folder is its identity.")
    ] = None,
    unlabelled: Annotated[bool, typer.Option("--unlabelled", help="The identities are unknown.")] = False,
    form: Annotated[Form | None, typer.Option("--format", help=f"What SOURCE is instead: {FORMS}.")] = None,
    faces: Annotated[bool, typer.Option("--faces", help="With --format: the images are aligned faces.")] = False,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Turn photos in identity folders, named by a list or in another format, into shards. Image bytes untouched."""
    from facerec.interop import exchange

    check_out(out, source, replace)
    if (list_file is not None) + unlabelled + (form is not None) > 1:
        raise ParamsError(
            "--list names the people in the photos, --unlabelled says that they are unknown, and a --format says it "
            "itself; give one of them."
        )
    if faces and form is None:
        raise ParamsError("--faces goes with --format; aligned faces in a pack are read by `facerec unpack`.")
    if form is None:
        report("Photos", exchange.import_photos(source, out, list_file, not unlabelled), as_json)
    else:
        report("Images", exchange.import_set(source, out, form, faces), as_json)


@command(Panel.DATA)
def unpack(
    source: Annotated[
        Path, typer.Argument(help="Folder of a pack (train.rec, *.bin, bcolz), or one .rec, .bin or bcolz folder.")
    ],
    out: New,
    size: Annotated[
        str | None, typer.Option(help="Size the faces must have: 112, or 112x96 (height x width).", metavar="SIZE")
    ] = None,
    photos: Annotated[bool, typer.Option("--photos", help="The images are photos, not aligned faces.")] = False,
    arrays: Annotated[
        Arrays, typer.Option(help="Order of the channels in bcolz folders, which do not say it.")
    ] = "bgr",
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Turn a pack into shards: OUT/train, OUT/lfw, ...; a lone member into OUT. Image bytes untouched."""
    from facerec.interop import unpacking

    check_out(out, source, replace)
    expected = unpacking.Expected(photos, None if size is None else parse_size(size), arrays)
    unpacked = unpacking.unpack(source, out, expected)
    for each in unpacked.notes:
        note(each)
    report("Images", unpacked.images, as_json)


@command(Panel.DATA)
def pack(
    faces: Annotated[Path, typer.Argument(help="Face shards, or a folder of sets as unpack makes it.")],
    out: Annotated[Path, typer.Argument(help="Folder for train.rec, train.idx, property; or NAME.bin.")],
    pairs: Annotated[
        Path | None, typer.Option(help="Pairs of NAME.bin: pairs.txt or .parquet; by default pairs.parquet of FACES.")
    ] = None,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Turn face shards into a pack that InsightFace reads, image bytes untouched; undoes unpack."""
    from facerec.interop import exporting

    check_out(out, faces, replace)
    if out.suffix == ".bin":
        if pairs is None and not (faces / exporting.PAIRS).is_file():
            raise ParamsError(f"{faces} has no {exporting.PAIRS}; name the pairs of {out.name} with --pairs.")
        count = exporting.pack_bin(faces, pairs or faces / exporting.PAIRS, out)
        report("Images", {out.stem: count}, as_json)
        return
    if pairs is not None:
        raise ParamsError(f"--pairs belong into a verification pack; call it {out}.bin.")
    report("Images", exporting.pack_faces(faces, out), as_json)


@command(Panel.DATA)
def export(
    images: Annotated[Path, typer.Argument(help="Photo or face shards.")],
    out: New,
    list_file: Annotated[
        bool, typer.Option("--with-list", help="Also write OUT/list.txt, lines 'path label'.")
    ] = False,
    form: Annotated[Form | None, typer.Option("--format", help=f"What OUT becomes instead: {FORMS}.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many images.")] = None,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Turn shards into files in identity folders, or into another format; image bytes untouched."""
    from facerec.interop import exchange, exporting

    check_out(out, images, replace)
    if form is None:
        written = exporting.export_images(images, out, list_file, limit)
    elif list_file:
        raise ParamsError("--with-list goes with identity folders, not with --format.")
    else:
        written = exchange.export_set(images, out, form, limit)
    report("Written", written, as_json)


@command(Panel.DATA)
def inspect(
    what: Annotated[str, typer.Argument(help="Any file or folder, or the name of a catalog entry.")],
    sheet: Annotated[
        Path | None,
        typer.Option(help="Contact sheet of its images to write, .png or .jpg.", callback=optional_file_place),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what something is and what it holds: counts, sizes, identities, colour."""
    from facerec import inspection
    from facerec.imaging import sheets

    if sheet is not None:
        sheets.check_sheet_name(sheet)
    found = inspection.inspect(what)
    if sheet is not None:
        if not found.pictures:
            raise ParamsError(f"{what} is a {found.kind} and shows no images; leave --sheet out.")
        tiles = [sheets.thumbnail(picture) for picture in found.pictures]
        sheets.write_sheet(sheets.contact_sheet(tiles, min(8, len(tiles))), sheet)
    if as_json:
        report("", {"kind": found.kind, **found.facts}, as_json)
        return
    report(found.kind, {key.replace("_", " "): _words(each) for key, each in found.facts.items()})


@command(Panel.DATA)
def sheet(
    out: Annotated[Path, typer.Argument(help="Picture to write, .png or .jpg.", callback=file_place)],
    rows: Annotated[int, typer.Option(min=1, max=100, help="People, one in each row.")] = 4,
    columns: Annotated[int, typer.Option(min=1, max=100, help="Photos of each.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the synthetic world.")] = 1,
    as_json: Json = False,
) -> None:
    """Render a contact sheet of synthetic people."""
    from facerec.catalog import synthetic_sets
    from facerec.imaging import sheets

    sheets.check_sheet_name(out)
    sheets.write_sheet(sheets.contact_sheet(synthetic_sets.render_examples(rows, columns, seed), columns), out)
    report(f"{out}", {"people": rows, "photos": rows * columns}, as_json)


def _words(value: Any, inner: bool = False) -> str:
    """A plain value in words; what stands inside another one is put into brackets."""
    if isinstance(value, dict | list | tuple) and inner:
        return f"({_words(value)})"
    if isinstance(value, dict):
        return ", ".join(f"{shown(key)} {_words(each, inner=True)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.5g}" if isinstance(value, float) else shown(value)


def _summarise_entry(entry: entries.CatalogEntry) -> dict[str, Any]:
    from facerec.catalog import downloads

    return {
        "name": entry.name,
        "title": entry.title,
        "kind": entry.kind,
        "licence": entry.licence,
        **downloads.describe_availability(entry),
    }


def _describe_entry(entry: entries.CatalogEntry) -> dict[str, Any]:
    """All fields that are not empty, files by name."""
    from facerec.catalog import downloads

    files = {f"file {file.name}": "\n".join(file.urls) or "no address" for file in entry.files}
    places = {"put files into": downloads.target_folders(entry)} if entry.files else {}
    texts = {
        "terms": entry.terms,
        "citation": entry.citation,
        "homepage": entry.homepage,
        "by hand": entry.manual,
        "counts": _join_counts(entry.counts),
        "published counts": _join_counts(entry.published),
    }
    texts |= _describe_measured(entry.name)
    if entry.kind in ("photos", "pack"):
        texts["people in reports"] = "shown" if entry.shown else "not shown; pictures: true would allow it"
    return {**_summarise_entry(entry), **files, **places, **{key: text for key, text in texts.items() if text}}


def _describe_measured(name: str) -> dict[str, str]:
    """The thresholds that come with a network: false accept rate, cosine, and the 95 % interval of the rate."""
    from facerec.catalog import networks

    place = networks.shipped_scores() / name
    if not place.is_dir():
        return {}
    from facerec.recognition import thresholds

    measured = thresholds.read_measurement(place, None)
    rates = [f"{rate} at {cosine} ({interval})" for rate, cosine, interval in thresholds.describe_rates(measured)]
    return {f"thresholds on {measured.benchmark}": f"{measured.different:,} different pairs:\n" + "\n".join(rates)}


def _join_counts(counts: BaseModel) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.model_dump(exclude_none=True).items())
