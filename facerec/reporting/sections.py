"""What the page of a run says, section by section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from facerec.evaluation.curves import rate_name
from facerec.reporting import tables
from facerec.reporting.page import Block, Code, Fold, Grid, Number, PagePicture, Pictures, Section, Text
from facerec.reporting.tables import Found
from facerec.reporting.wording import count, interval, percent

Charts = Mapping[str, Sequence[PagePicture]]
"""Section -> its charts."""


def numbers(found: Found) -> list[Number]:
    """The headline: accuracy of each benchmark, rank 1 of each identification task, photos that gave a face."""
    headline = [_accuracy(name, each) for name, each in found.get("verification", {}).items()]
    headline += [_rank1(name, runs) for name, runs in found.get("identification", {}).items()]
    aligned = found.get("align", {}).values()
    photos = sum(each["photos"] for each in aligned)
    if photos:
        faces, fallbacks = (sum(each[key] for each in aligned) for key in ("faces", "fallbacks"))
        note = f"{count(photos - faces)} of {count(photos)} gave none, {count(fallbacks)} only by a fallback"
        headline.append(
            Number("All photos", percent(faces / photos), "gave a face", faces / photos, None, (note,))
        )
    return headline


def _accuracy(name: str, values: Found) -> Number:
    low, high = values["accuracy_low"], values["accuracy_high"]
    notes = [f"95 % interval {interval(low, high)}"]
    if values.get("tar_supported", True):
        within = interval(values["tar_low"], values["tar_high"])
        notes.append(f"TAR {percent(values['tar'], 1)} at FAR {rate_name(values['far_target'])} ({within})")
    return Number(
        name, percent(values["accuracy"]), "accuracy", values["accuracy"], (low, high), tuple(notes)
    )


def _rank1(name: str, runs: Found) -> Number:
    cleaned, raw = runs["cleaned"], runs["raw"]
    band = cleaned.get("interval", {}).get("rank1")
    notes = [
        f"among {count(cleaned['distractors'])} distractors, {percent(raw['rank1'])} before noise removal"
    ]
    if band:
        notes.insert(0, f"95 % interval {interval(band['lo'], band['hi'])}")
    place = (band["lo"], band["hi"]) if band else None
    return Number(name, percent(cleaned["rank1"]), "rank 1", cleaned["rank1"], place, tuple(notes))


def verification(
    found: Found, details: Mapping[str, Found], charts: Charts, pairs: Mapping[str, PagePicture | None]
) -> Section:
    """Tables, charts, and pairs at the edge of the threshold; None in `pairs` for what may not be shown."""
    if not found.get("verification"):
        return Section("verification", "Verification", [])
    blocks: list[Block] = [
        Text("Do two photos show the same person? Judged pair by pair, by a threshold on the distance."),
        Grid(tables.verification(found)),
        Grid(tables.rates(details)),
        Pictures(charts.get("verification", [])),
    ]
    folds = [_pairs(name, picture) for name, picture in pairs.items()]
    return Section("verification", "Verification", [*blocks, *folds])


def _pairs(name: str, picture: PagePicture | None) -> Block:
    title = f"{name}: pairs at the edge of the threshold"
    if picture is None:
        return Fold(title, [Text(_hidden(name, f"reports/sheets/pairs/{name}.jpg"))])
    return Fold(title, [Pictures([picture], photos=True)], open=True)


def _hidden(name: str, path: str) -> str:
    return (
        f"Not shown: the catalogue entry of {name} does not say that its people may be shown (pictures: true). "
        f"The picture is in {path}."
    )


def identification(found: Found, charts: Charts) -> Section:
    """Tables and charts."""
    if not found.get("identification"):
        return Section("identification", "Identification", [])
    blocks: list[Block] = [
        Text("Who is it? A photo looks for another one of the same person among strangers."),
        Grid(tables.identification(found)),
        Grid(tables.noise(found)),
        Pictures(charts.get("identification", [])),
    ]
    return Section("identification", "Identification", blocks)


def training(found: Found, differences: Mapping[str, float], charts: Charts) -> Section:
    """What was trained, and whether its export computes the same."""
    if not found.get("train"):
        return Section("training", "Training", [])
    blocks: list[Block] = [
        Grid(tables.training(found, differences)),
        Pictures(charts.get("training", [])),
    ]
    return Section("training", "Training", blocks)


def faces(found: Found, sheets: Mapping[str, Sequence[PagePicture] | None]) -> Section:
    """What was found in the photos; the sheets of each set, None for what may not be shown."""
    if not found.get("align"):
        return Section("faces", "Faces", [])
    folds = [_sheets(name, pictures) for name, pictures in sheets.items()]
    return Section("faces", "Faces", [Grid(tables.enrolment(found)), *folds])


def _sheets(name: str, pictures: Sequence[PagePicture] | None) -> Block:
    title = f"{name}: photos, what was found in them, and the faces as aligned"
    if pictures is None:
        return Fold(title, [Text(_hidden(name, f"reports/sheets/photos/{name}.jpg and faces/{name}.jpg"))])
    return Fold(title, [Pictures(pictures, photos=True)])


def cards(documents: Iterator[Fold]) -> Section:
    """Data and model cards, folded."""
    return Section("cards", "Cards", list(documents))


def parameters(text: str) -> Section:
    """All parameters, folded."""
    return Section("parameters", "Parameters", [Fold("params.yaml, with every default", [Code(text)])])
