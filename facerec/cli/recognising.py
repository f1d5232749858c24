"""Commands that use a network: compare two photos, enroll people, search for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facerec.cli.common import Json, app, detector_options
from facerec.core import ParamsError

if TYPE_CHECKING:
    from facerec.recognition import Recogniser, Threshold

FAR = 1e-2
MODEL, PARAMS = Path("models/backbone.onnx"), Path("params.yaml")

Model = Annotated[
    Path | None, typer.Option(help="backbone.pt, an .onnx file, or a downloaded model's directory.")
]
Params = Annotated[
    Path | None,
    typer.Option(
        help="Experiment whose model, detector and choice of faces are used; params.yaml if it is there."
    ),
]
Detector = Annotated[str | None, typer.Option(help="Name of the detector.")]
Weights = Annotated[Path | None, typer.Option(help="File of the detector's weights.")]
MinFace = Annotated[int | None, typer.Option(help="Smallest face, in pixels.")]
Rule = Annotated[str | None, typer.Option(help="Which face: center, largest, score-area or best-score.")]
Fallback = Annotated[
    list[str] | None,
    typer.Option(help="What is tried in turn, repeatable: detector, retry, low-score, crop."),
]
Scores = Annotated[
    Path | None,
    typer.Option(help="Scores of this model on a benchmark; by default the largest of data/scores/*."),
]
Far = Annotated[float | None, typer.Option(help="False accept rate of one comparison, 1e-2 by default.")]
Gallery = Annotated[Path, typer.Argument(help="File of the gallery.")]
Picture = Annotated[Path | None, typer.Option(help="Picture of the answer to write, .png or .svg.")]


@app.command()
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
    from facerec.cli import answering

    if picture is not None:
        answering.check_picture(picture)
    recogniser = _recogniser(model, params, detector, weights, min_face, rule, fallback)
    found = recogniser.compare(first, second, recogniser.threshold(FAR if far is None else far, scores))
    answering.show_comparison(found, recogniser, picture, as_json)


@app.command()
def enroll(
    gallery: Annotated[Path, typer.Argument(help="File to make, or to add to.")],
    photos: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders and archives of photos in folders named after people, shards, photos."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Whom all these photos show.")] = None,
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
    from facerec.cli import enrolling

    if not photos and not remove:
        raise ParamsError("enroll takes PHOTOS, or --remove NAME; see `facerec enroll --help`.")
    wanted = enrolling.Wanted(tuple(photos or ()), name, list_file, tuple(remove or ()), not without_faces)
    wanted.check()
    recogniser = _recogniser(model, params, detector, weights, min_face, rule, fallback) if photos else None
    enrolling.show(gallery, enrolling.enroll(gallery, wanted, recogniser), as_json)


@app.command()
def search(
    gallery: Gallery,
    photo: Annotated[Path, typer.Argument(help="A photo with any number of faces.")],
    top: Annotated[int, typer.Option(min=1, help="How many of the gallery to list for each face.")] = 5,
    every_photo: Annotated[
        bool, typer.Option("--every-photo", help="List photos; by default each person by the best one.")
    ] = False,
    far: Far = None,
    fpir: Annotated[
        float | None,
        typer.Option(help="Instead: how often a stranger may be taken for anybody in the whole gallery."),
    ] = None,
    scores: Scores = None,
    model: Model = None,
    params: Params = None,
    detector: Detector = None,
    weights: Weights = None,
    min_face: MinFace = None,
    rule: Annotated[
        str | None,
        typer.Option(help="Only one face: center, largest, score-area or best-score; by default every one."),
    ] = None,
    fallback: Fallback = None,
    picture: Picture = None,
    as_json: Json = False,
) -> None:
    """Who of a gallery is in a photo? Every face with the people it is most like, or "unknown"."""
    from facerec.cli import answering

    if picture is not None:
        answering.check_picture(picture)
    if far is not None and fpir is not None:
        raise ParamsError(
            "--far is the rate of one comparison and --fpir that of the search; give one of them."
        )
    recogniser = _recogniser(model, params, detector, weights, min_face, rule, fallback)
    known = recogniser.gallery(gallery)
    threshold = _search_threshold(recogniser, len(known), far, fpir, scores)
    found = recogniser.search(known, photo, threshold, top, rule is None, every_photo)
    answering.show_search(found, recogniser, picture, as_json)


def _recogniser(
    model: Path | None,
    params: Path | None,
    detector: str | None,
    weights: Path | None,
    min_face: int | None,
    rule: str | None,
    fallback: list[str] | None,
) -> Recogniser:
    """As the options say; what they leave open is that of params.yaml, where there is one, else the usual."""
    from facerec import recognition

    options, fallbacks = detector_options(weights, min_face), tuple(fallback or ()) or None
    if params is not None or PARAMS.exists():
        experiment = params or PARAMS
        return recognition.of_experiment(
            experiment, model=model, detector=detector, options=options, rule=rule, fallbacks=fallbacks
        )
    given: dict[str, Any] = {"rule": rule, "fallbacks": fallbacks}
    choosing = {name: value for name, value in given.items() if value is not None}
    return recognition.Recogniser(model or MODEL, detector or "mtcnn", options, **choosing)


def _search_threshold(
    recogniser: Recogniser, photos: int, far: float | None, fpir: float | None, scores: Path | None
) -> Threshold | None:
    """The threshold at the rate of one comparison, or at that which gives the search its rate."""
    from facerec.recognition import UnsupportedRateError, decisions

    if fpir is None:
        return recogniser.threshold(FAR if far is None else far, scores)
    measured = recogniser.measured(scores)
    if measured is None:
        return None
    try:
        return measured.at(decisions.comparison_rate(fpir, photos))
    except UnsupportedRateError as error:
        least = decisions.search_rate(decisions.lowest_rate(max(measured.different, 1)), photos)
        raise UnsupportedRateError(
            f"{str(error).rstrip('.')}; a search of {photos:,} photos needs an --fpir of {decisions.upwards(least):g} or more."
        ) from error
