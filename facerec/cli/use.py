"""Commands that use a network: compare two photos, enroll people in a gallery, search photos for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from facerec.cli.common import (
    Detector,
    Json,
    MinFace,
    Panel,
    Weights,
    command,
    detector_options,
    optional_file_place,
    print_json,
    report,
)
from facerec.core import ParamsError, note, require_path, say, shown, terminal

if TYPE_CHECKING:
    from facerec.recognition.enrolling import Enrolment
    from facerec.recognition.recogniser import Recogniser
    from facerec.recognition.results import PhotoComparison, Portrait, SearchResult
    from facerec.recognition.thresholds import Threshold

FAR, FPIR = 1e-2, 1e-1
MODEL, PARAMS = Path("models/backbone.onnx"), Path("params.yaml")
_NAMED = 5
"""Photos that a note of enroll names; the JSON has all of them."""

Model = Annotated[
    str | None,
    typer.Option(
        help="Name of a model of the catalog, backbone.pt, an .onnx file or a folder with one; by default that of "
        "params.yaml, else mobilefacenet_foamliu_pt.",
        metavar="NAME|PATH",
    ),
]
Params = Annotated[
    Path | None,
    typer.Option(help="Experiment whose model, detector and choice of faces are used; params.yaml if it is there."),
]
Rule = Annotated[str | None, typer.Option(help="Which face: center, largest, score-area or best-score.")]
Fallback = Annotated[
    list[str] | None, typer.Option(help="What is tried in turn, repeatable: detector, retry, low-score, crop.")
]
Scores = Annotated[
    Path | None, typer.Option(help="Scores of this model on a benchmark; by default the largest of data/scores/*.")
]
Far = Annotated[float | None, typer.Option(help="False accept rate of one comparison, 1e-2 by default.")]
Picture = Annotated[
    Path | None, typer.Option(help="Picture of the result to write, .png or .svg.", callback=optional_file_place)
]


@command(Panel.USE)
def compare(
    first: Annotated[Path, typer.Argument(help="A photo.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    model: Model = None,
    far: Far = None,
    scores: Scores = None,
    params: Params = None,
    detector: Detector = None,
    weights: Weights = None,
    min_face: MinFace = None,
    rule: Rule = None,
    fallback: Fallback = None,
    picture: Picture = None,
    as_json: Json = False,
) -> None:
    """Same person or not? Similarity of two photos, judged at a false accept rate measured on a benchmark."""
    if picture is not None:
        from facerec.reporting import recognition_pictures  # only here, as it imports matplotlib

        recognition_pictures.check_picture_name(picture)
    _check_photos(first, second)
    recogniser = _recogniser(model, params, detector, weights, min_face, rule, fallback)
    found = recogniser.compare(first, second, recogniser.threshold(FAR if far is None else far, scores))
    if picture is not None:
        recognition_pictures.save_picture(recognition_pictures.draw_comparison(found), picture)
    if as_json:
        print_json(found.to_dict() | _tools(recogniser))
    else:
        _show_comparison(found, recogniser)


@command(Panel.USE)
def enroll(
    gallery: Annotated[Path, typer.Argument(help="File to make, or to add to.")],
    photos: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders and archives of photos in folders named after people, shards, photos."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The person in all these photos.")] = None,
    list_file: Annotated[
        Path | None, typer.Option("--list", help="Lines 'path<TAB>name' for the photos of one folder.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(help="Forget this person, repeatable; comes before adding.")
    ] = None,
    without_faces: Annotated[
        bool, typer.Option("--without-faces", help="Keep embeddings only, not the aligned faces.")
    ] = False,
    model: Model = None,
    params: Params = None,
    detector: Detector = None,
    weights: Weights = None,
    min_face: MinFace = None,
    rule: Rule = None,
    fallback: Fallback = None,
    as_json: Json = False,
) -> None:
    """Add people to a gallery, or forget them. A photo that it holds already is replaced."""
    from facerec.recognition.enrolling import GalleryChanges, change_gallery

    if not photos and not remove:
        raise ParamsError("enroll takes PHOTOS, or --remove NAME; see `facerec enroll --help`.")
    changes = GalleryChanges(tuple(photos or ()), name, list_file, tuple(remove or ()), not without_faces)
    changes.check()
    for path in photos or ():  # before the first of them is enrolled
        require_path(path, "name photos, folders, archives or photo shards")
    recogniser = _recogniser(model, params, detector, weights, min_face, rule, fallback) if photos else None
    _show_enrolment(gallery, change_gallery(gallery, changes, recogniser), as_json)


@command(Panel.USE)
def search(
    gallery: Annotated[Path, typer.Argument(help="File of the gallery.")],
    photo: Annotated[Path, typer.Argument(help="A photo with any number of faces.")],
    top: Annotated[int, typer.Option(min=1, help="How many of the gallery to list for each face.")] = 5,
    every_photo: Annotated[
        bool, typer.Option("--every-photo", help="List photos; by default each person by the best one.")
    ] = False,
    far: Annotated[float | None, typer.Option(help="Instead of --fpir: false accept rate of one comparison.")] = None,
    fpir: Annotated[
        float | None,
        typer.Option(help="Chance that a person who is not in the gallery is named in a search, 1e-1 by default."),
    ] = None,
    scores: Scores = None,
    model: Model = None,
    params: Params = None,
    detector: Detector = None,
    weights: Weights = None,
    min_face: MinFace = None,
    rule: Annotated[
        str | None, typer.Option(help="Only one face: center, largest, score-area or best-score; by default every one.")
    ] = None,
    fallback: Fallback = None,
    picture: Picture = None,
    as_json: Json = False,
) -> None:
    """Who of a gallery is in a photo? Every face with the people it is most like, or "unknown"."""
    if picture is not None:
        from facerec.reporting import recognition_pictures  # only here, as it imports matplotlib

        recognition_pictures.check_picture_name(picture)
    if far is not None and fpir is not None:
        raise ParamsError("--far is the rate of one comparison and --fpir that of the search; give one of them.")
    require_path(gallery, "`facerec enroll` makes one")
    _check_photos(photo)
    recogniser = _recogniser(model, params, detector, weights, min_face, rule, fallback)
    known = recogniser.stored_gallery(gallery)
    threshold = _search_threshold(recogniser, len(known), far, fpir, scores)
    found = recogniser.search(known, photo, threshold, top, rule is None, every_photo)
    if picture is not None:
        recognition_pictures.save_picture(recognition_pictures.draw_search(found), picture)
    if as_json:
        print_json(found.to_dict() | _tools(recogniser))
    else:
        _show_search(found, recogniser)


def _check_photos(*photos: Path) -> None:
    """Raise FormatError for a photo that is not there, before a network is loaded or downloaded."""
    from facerec.recognition.recogniser import check_photo

    for photo in photos:
        check_photo(photo)


def _recogniser(
    model: str | None,
    params: Path | None,
    detector: str | None,
    weights: str | None,
    min_face: int | None,
    rule: str | None,
    fallback: list[str] | None,
) -> Recogniser:
    """With these options; the others are those of params.yaml, where there is one, else the defaults.

    A model of the catalog is used as it was measured, unless --params names an experiment.
    """
    from facerec.catalog import networks
    from facerec.recognition.recogniser import Recogniser

    options, fallbacks = detector_options(weights, min_face), tuple(fallback or ()) or None
    listed = model is not None and networks.is_listed(model, "model")
    if params is not None or (PARAMS.exists() and not listed):
        return Recogniser.of_experiment(
            params or PARAMS, model=model, detector=detector, options=options, rule=rule, fallbacks=fallbacks
        )
    if model is None and not MODEL.exists():
        model = networks.DEFAULT
        note(f"the network is {model} of the catalog; --model names another (facerec catalog lists them)")
    given: dict[str, Any] = {"rule": rule, "fallbacks": fallbacks}
    choosing = {name: value for name, value in given.items() if value is not None}
    return Recogniser(model or MODEL, detector, options, **choosing)


def _search_threshold(
    recogniser: Recogniser, photos: int, far: float | None, fpir: float | None, scores: Path | None
) -> Threshold | None:
    """The threshold at the rate `far` of one comparison, or at the rate `fpir` of the search, FPIR by default.

    Where the benchmark is too small for the default, the threshold is that of the lowest rate it can tell.
    """
    from facerec.recognition import thresholds

    measured = recogniser.measured(scores)
    if measured is None:
        return None
    if far is not None:
        return measured.at(far)
    try:
        return measured.at(thresholds.far_for_fpir(FPIR if fpir is None else fpir, photos))
    except thresholds.UnsupportedRateError as error:
        lowest = thresholds.lowest_far(max(measured.different, 1))
        least = thresholds.round_up(thresholds.search_fpir(lowest, photos))
        if fpir is None and lowest < 1:
            note(f"{measured.benchmark} is too small to promise {FPIR:g}; its lowest rate gives this gallery {least:g}")
            return measured.at(lowest)
        raise thresholds.UnsupportedRateError(
            f"{str(error).rstrip('.')}; a search of {photos:,} photos needs an --fpir of {least:g} or more."
        ) from error


def _tools(recogniser: Recogniser) -> dict[str, Any]:
    detector = recogniser.detector.name
    return {"model": recogniser.name, "digest": recogniser.embedder.digest, "detector": detector}


def _show_comparison(found: PhotoComparison, recogniser: Recogniser) -> None:
    from facerec.recognition.results import shorten_name

    table = Table(title="Comparison", title_justify="left", show_header=False)
    table.add_column(overflow="fold", ratio=1)
    table.add_column(ratio=1)
    for portrait in (found.first, found.second):
        table.add_row(shown(shorten_name(portrait.name)), _describe_choice(portrait))
    table.add_row("network, detector", f"{shown(recogniser.name)}, {recogniser.detector.name}")
    table.add_row("similarity", f"{found.similarity:.3f} (squared distance {found.distance:.3f})")
    if found.threshold is not None:
        table.add_row("threshold", f"{found.threshold.similarity:.3f}; {found.threshold.reliability}")
    _show_table(table, found.decision, found.caution)


def _describe_choice(portrait: Portrait) -> str:
    """How many faces a photo has and which one was taken."""
    face, count = portrait.face, len(portrait.found)
    how = "" if face.fallback == "detector" else f", found by the fallback {face.fallback}"
    score = "" if face.score is None else f", score {face.score:.3f}"
    faces = "no face found" if face.box is None else "1 face" if count == 1 else f"one of {count} faces"
    return f"{faces}{score}{how}"


def _show_search(found: SearchResult, recogniser: Recogniser) -> None:
    from facerec.recognition import results

    table = Table(title=f"Faces in {shown(found.name)}", title_justify="left")
    for column in ("face", "who", "most like"):
        table.add_column(column, overflow="fold")
    table.add_column("similarity", justify="right")
    table.add_column("their photo", overflow="fold")
    threshold = found.threshold
    for number, person in enumerate(found.people):
        who = person.name or ("not decided" if threshold is None else results.UNKNOWN)
        for place, each in enumerate(person.candidates):
            first = (str(number), shown(who)) if place == 0 else ("", "")
            accepted = threshold is not None and threshold.accepts(each.similarity)
            similarity = f"{each.similarity:.3f}{'*' if accepted else ' '}"
            photo = shown(results.shorten_name(each.entry.source, 26))
            table.add_row(*first, shown(each.entry.name), similarity, photo)
        table.add_section()
    known = "" if threshold is None else f"threshold (* above it) {threshold.similarity:.3f}; {threshold.reliability}"
    used = f"network {recogniser.name}, detector {recogniser.detector.name}"
    _show_table(table, found.decision, known, used, found.caution)


def _show_table(table: Table, *sentences: str) -> None:
    """The table, then the sentences that are not empty."""
    from facerec.recognition.results import join_sentences

    terminal().print(table)
    for sentence in filter(None, sentences):
        say(join_sentences(sentence))


def _show_enrolment(path: Path, enrolment: Enrolment, as_json: bool) -> None:
    """The changes of a gallery: a table and notes for people, or JSON."""
    people, photos = enrolment.gallery.people, len(enrolment.gallery)
    counts = {"added": enrolment.added, "replaced": enrolment.replaced, "refused": len(enrolment.refused)}
    if as_json:
        values = {
            "gallery": str(path),
            **counts,
            "removed": enrolment.removed,
            "refused": [vars(each) for each in enrolment.refused],
            "moved": [dict(zip(("photo", "before", "now"), each, strict=True)) for each in enrolment.moved],
            "several_faces": enrolment.several,
            "people": people,
            "photos": photos,
        }
        print_json(values)
        return
    removed = {f"forgotten {name}": f"{count} photos" for name, count in enrolment.removed.items()}
    done = counts if any(counts.values()) else {}
    report(f"{path}", {**removed, **done, "people": len(people), "photos": photos})
    groups: dict[str, list[str]] = {}
    for each in enrolment.refused:
        groups.setdefault(each.reason.rstrip("."), []).append(each.source)
    for photo, before, now in enrolment.moved:
        groups.setdefault(f"was {before}'s, is now {now}'s", []).append(photo)
    if enrolment.several:
        groups["several faces, of which one was taken"] = list(enrolment.several)
    for what, named in groups.items():
        more = f" and {len(named) - _NAMED:,} more (--json lists all)" if len(named) > _NAMED else ""
        note(f"{', '.join(named[:_NAMED])}{more}: {what}")
