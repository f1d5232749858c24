"""Template-based evaluation, as in IJB-B and IJB-C: a person is shown by several photos and frames of videos at once.

Arrays in, frozen dataclasses out:

    from facerec.evaluation.templates import pool_templates, score_pairs, SortedScores

    templates = pool_templates(features, template, medium)  # a template is a row of length 1
    scores = score_pairs(templates.matrix, templates.rows(first), templates.rows(second))
    SortedScores.of(scores, same).at_or_below(1e-6).tar

`pooling` makes templates, `rates` reads true accept rates off the scores of pairs in both ways in use, `galleries`
searches galleries, `intervals` is the bootstrap over subjects; all of it is imported from here. `on_files` works on the
published files of IJB-B and IJB-C, `tinyface` on those of TinyFace.
"""

from facerec.evaluation.templates.galleries import (
    GallerySearch,
    SearchRates,
    mean_rates,
    most_needed,
    rates_of_merged,
    rates_of_search,
    search_gallery,
)
from facerec.evaluation.templates.intervals import SubjectScores, join_subjects, search_intervals, tar_intervals
from facerec.evaluation.templates.pooling import (
    MISSING,
    Templates,
    face_weights,
    place_numbers,
    pool_templates,
    score_pairs,
)
from facerec.evaluation.templates.rates import Reading, SortedScores

__all__ = ["MISSING", "Templates", "face_weights", "place_numbers", "pool_templates", "score_pairs"]
__all__ += ["Reading", "SortedScores"]
__all__ += ["GallerySearch", "SearchRates", "mean_rates", "most_needed"]
__all__ += ["rates_of_merged", "rates_of_search", "search_gallery"]
__all__ += ["SubjectScores", "join_subjects", "search_intervals", "tar_intervals"]
