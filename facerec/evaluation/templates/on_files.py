"""Template benchmarks on files: from the published lists and embeddings, features or scores to rates.

    measure_embeddings(Path("IJBC"), Path("ijbc.npy"), TemplateOptions()).verification

What the lists allow is measured: verification with a list of pairs, identification with galleries and probes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.core import FormatError, ParamsError
from facerec.evaluation import templates as protocol
from facerec.evaluation.templates import Templates
from facerec.evaluation.templates.result import (
    FPIRS,
    RANKS,
    IdentificationRates,
    TemplateRates,
    TemplateRecord,
    metric_names,
    named_intervals,
    rates_of_pairs,
    search_metrics,
)
from facerec.interop import photo_lists, template_lists
from facerec.interop.template_lists import TemplateLists
from facerec.store import embeddings, tables

WEIGHTINGS = {"norm-detector": (True, True), "norm": (True, False), "detector": (False, True), "none": (False, False)}
"""Whether faces weigh by the length of their feature, and by the detector's score; the first is InsightFace's."""

Floats = NDArray[np.floating]
Int32s = NDArray[np.int32]
_ROWS = 4096  # of a matrix that are looked at together


@dataclass(frozen=True)
class TemplateOptions:
    """How templates are made and intervals drawn.

    Attributes:
        weighting: one of WEIGHTINGS.
        flip: whether a row of features holds those of the photo and of its mirror image, which are added.
        trials: of the bootstrap over subjects; 0 for no intervals.
        seed: of the bootstrap.
        curve: whether the ROC is wanted.
    """

    weighting: str = "norm-detector"
    flip: bool = False
    trials: int = 0
    seed: int = 1
    curve: bool = False

    def __post_init__(self) -> None:
        if self.weighting not in WEIGHTINGS:
            raise ParamsError(f"a weighting is one of {', '.join(WEIGHTINGS)}, not {self.weighting!r}.")
        if self.trials < 0 or self.trials == 1 or self.seed < 0:
            raise ParamsError(
                f"a bootstrap has 0 or at least 2 trials and no negative seed: {self.trials}, {self.seed}."
            )


def measure_embeddings(folder: Path, embedded: Path, options: TemplateOptions) -> TemplateRecord:
    """Measure embeddings of `facerec embed`, whose photos are found by the names in the list of media in `folder`.

    Photos that are not there, and those without a face, are left out of their templates and counted.
    """
    lists = template_lists.find_template_lists(folder)
    media = template_lists.read_media(lists.media)
    faces = embeddings.read_embeddings(embedded)
    rows = find_photos(faces, media.names, embedded)
    faceless = np.isnan(faces.matrix[:, 0]) | ~faces.matrix.any(axis=1)
    missing = (rows < 0) | faceless[rows]
    templates = _pool(lists, media, faces.matrix, rows, options)
    return _measure(lists, templates, options, len(rows), int(missing.sum()))


def measure_features(folder: Path, features: Path, options: TemplateOptions) -> TemplateRecord:
    """Measure features of another system: .npy (n, d), row i for line i of the lists; FormatError for NaN."""
    lists = template_lists.find_template_lists(folder)
    media = template_lists.read_media(lists.media)
    matrix = read_features(features, len(media.names))
    if options.flip:
        matrix = _add_halves(matrix, features)
    templates = _pool(lists, media, matrix, np.arange(len(matrix)), options)
    return _measure(lists, templates, options, len(matrix), 0)


def measure_scores(folder: Path, scores: Path, options: TemplateOptions) -> TemplateRecord:
    """Measure scores of another system: .npy (n,), one a line of the list of pairs, greater is more alike."""
    lists = template_lists.find_template_lists(folder)
    if lists.pairs is None:
        raise FormatError(f"{lists.media.parent} has no list of pairs, *_template_pair_label.txt, to go with {scores}.")
    pairs = template_lists.read_template_pairs(lists.pairs)
    values = np.array(tables.read_npy(scores))
    if values.shape != pairs.same.shape or values.dtype.kind != "f":
        raise FormatError(
            f"{scores} holds {values.dtype} {values.shape}; needed are {len(pairs.same):,} floats, one for each line of "
            f"{lists.pairs}."
        )
    numbers = np.union1d(np.unique(pairs.first), np.unique(pairs.second))
    first, second = (protocol.place_numbers(numbers, each) for each in (pairs.first, pairs.second))
    found = _verify(lists, values, pairs.same, first, second, numbers, options)
    return TemplateRecord({}, None, found, None)


def find_photos(faces: embeddings.Embeddings, names: Sequence[str], embedded: Path) -> NDArray[np.int64]:
    """(n,) rows of the photos called `names`, -1 where one is not there; FormatError where none is."""
    rows = photo_lists.matching_rows(names, faces.sources)
    if (rows < 0).all():
        raise FormatError(f"{embedded} has none of the photos that are listed, the first of which is {names[0]!r}.")
    return rows


def read_features(path: Path, count: int | None) -> Floats:
    """Map a .npy matrix (count, d) of finite numbers, or of any count; FormatError for anything else."""
    matrix: Floats = tables.read_npy(path)
    if matrix.ndim != 2 or matrix.dtype.kind != "f" or len(matrix) != (len(matrix) if count is None else count):
        wanted = "a row a face" if count is None else f"{count:,} rows, one a line of the list"
        raise FormatError(f"{path} holds {matrix.dtype} {matrix.shape}; needed is a float matrix of {wanted}.")
    for start in range(0, len(matrix), _ROWS):
        bad = np.flatnonzero(~np.isfinite(matrix[start : start + _ROWS]).all(axis=1))
        if len(bad):
            raise FormatError(
                f"row {start + bad[0]} of {path}, counted from 0, holds NaN or infinity; needed are numbers."
            )
    return matrix


def _pool(
    lists: TemplateLists,
    media: template_lists.MediaList,
    matrix: Floats,
    rows: NDArray[np.int64],
    options: TemplateOptions,
) -> Templates:
    keep_length, by_detector = WEIGHTINGS[options.weighting]
    weights = protocol.face_weights(matrix, None, unit=not keep_length)[rows]
    if by_detector:
        if lists.landmarks is None:
            raise FormatError(
                f"{lists.media.parent} has no *_name_5pts_score.txt with the detector's scores; choose the weighting "
                f"{'norm' if keep_length else 'none'}."
            )
        listed = template_lists.read_landmarks(lists.landmarks)
        if listed.names != media.names:
            raise FormatError(f"{lists.landmarks} and {lists.media} do not list the same photos in the same order.")
        weights = weights * listed.scores
    return protocol.pool_templates(matrix, media.template, media.medium, weights, rows)


def _add_halves(matrix: Floats, path: Path) -> Floats:
    """Features of photos and their mirror images, side by side, added."""
    half, rest = divmod(matrix.shape[1], 2)
    if rest or not half:
        raise FormatError(f"{path} has {matrix.shape[1]} columns, which are not those of two views side by side.")
    return np.asarray(matrix[:, :half] + matrix[:, half:])


def _measure(
    lists: TemplateLists, templates: Templates, options: TemplateOptions, photos: int, missing: int
) -> TemplateRecord:
    if lists.pairs is None and not (lists.probes and lists.galleries):
        raise FormatError(f"{lists.media.parent} has neither a list of pairs nor lists of galleries and probes.")
    counts = {"photos": photos, "without_face": missing, "media": templates.media, "templates": len(templates.ids)}
    searched = _identify(lists, templates, options) if lists.probes and lists.galleries else None
    verified = _verify_listed(lists.pairs, lists, templates, options) if lists.pairs is not None else None
    return TemplateRecord(counts, options.weighting, verified, searched)


def _verify_listed(path: Path, lists: TemplateLists, templates: Templates, options: TemplateOptions) -> TemplateRates:
    first, second, same = _rows_of_pairs(path, templates)
    scores = protocol.score_pairs(templates.matrix, first, second)
    return _verify(lists, scores, same, first, second, templates.ids, options)


def _rows_of_pairs(path: Path, templates: Templates) -> tuple[Int32s, Int32s, NDArray[np.bool_]]:
    """Rows of the templates of pairs, and whether they are genuine; the numbers themselves are not kept."""
    pairs = template_lists.read_template_pairs(path)
    return templates.rows(pairs.first), templates.rows(pairs.second), pairs.same


def _verify(
    lists: TemplateLists,
    scores: Floats,
    same: NDArray[np.bool_],
    first: Int32s,
    second: Int32s,
    numbers: NDArray[np.integer],
    options: TemplateOptions,
) -> TemplateRates:
    """Rates of the pairs of the rows `first` and `second` of templates with these `numbers`."""
    found = rates_of_pairs(scores, same, int(np.count_nonzero(scores == protocol.MISSING)), options.curve)
    if not options.trials:
        return found
    subjects, over = _subjects(lists, numbers, first[same], second[same])
    drawn = protocol.SubjectScores.of(scores, same, first, second, subjects)
    return found.with_intervals(*protocol.tar_intervals(drawn, options.trials, options.seed, found.wanted), over)


def _subjects(lists: TemplateLists, numbers: NDArray[np.integer], first: Int32s, second: Int32s) -> tuple[Int32s, str]:
    """Number the subjects of templates by the lists of 1:N or, where they do not name all, as genuine pairs join them."""
    named = [template_lists.read_subjects(path) for path in (*lists.galleries.values(), lists.probes) if path]
    known = dict(pair for each in named for pair in zip(each.template.tolist(), each.subject.tolist(), strict=True))
    if all(number in known for number in numbers.tolist()):
        subjects = np.unique([known[number] for number in numbers.tolist()], return_inverse=True)[1].astype(np.int32)
        return subjects, "subjects"
    return protocol.join_subjects(len(numbers), first, second), "subjects as genuine pairs join them"


def _identify(lists: TemplateLists, templates: Templates, options: TemplateOptions) -> IdentificationRates:
    assert lists.probes is not None
    probes = template_lists.read_subjects(lists.probes)
    enrolled = {name: template_lists.read_subjects(path) for name, path in lists.galleries.items()}
    rows = templates.matrix[templates.rows(probes.template)]
    kept = {name: templates.matrix[templates.rows(each.template)] for name, each in enrolled.items()}
    searches = [
        protocol.search_gallery(rows, probes.subject, kept[name], each.subject) for name, each in enrolled.items()
    ]
    rates = [protocol.rates_of_search(each, RANKS, FPIRS) for each in searches]
    both, people = np.concatenate([*kept.values()]), np.concatenate([each.subject for each in enrolled.values()])
    merged = None
    if len(np.unique(people)) == len(people) and np.isin(probes.subject, people).all():
        needed = protocol.most_needed(len(rows), FPIRS)
        found = protocol.search_gallery(rows, probes.subject, both, people, needed)
        merged = protocol.rates_of_merged(found, RANKS, FPIRS)
    spans: dict[str, tuple[float, float]] = {}
    if options.trials:
        drawn = protocol.search_intervals(searches, probes.subject, options.trials, options.seed, RANKS, FPIRS)
        spans = named_intervals(metric_names(RANKS, FPIRS), *drawn)
    named = dict(zip(enrolled, rates, strict=True))
    mean = protocol.mean_rates(rates)
    spans = {name: span for name, span in spans.items() if search_metrics(mean)[name] is not None}
    return IdentificationRates(len(rows), len(both), named, mean, merged, spans)
