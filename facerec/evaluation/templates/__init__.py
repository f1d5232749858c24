"""Template-based evaluation, as in IJB-B and IJB-C: a person is shown by several photos and frames of videos at once.

Arrays in, frozen dataclasses out:

    from facerec.evaluation.templates import pool_templates, score_pairs, SortedScores

    templates = pool_templates(features, template, medium)  # a template is a row of length 1
    scores = score_pairs(templates.matrix, templates.rows(first), templates.rows(second))
    SortedScores.of(scores, same).at_or_below(1e-6).tar

`pooling` makes templates, `rates` reads true accept rates off the scores of pairs in both ways in use, `galleries`
searches galleries (also TinyFace's, with its distractors), `intervals` is the bootstrap over subjects, `on_files` works
on the published files.
"""

from facerec.evaluation.templates.pooling import pool_templates, score_pairs
from facerec.evaluation.templates.rates import SortedScores

__all__ = ["SortedScores", "pool_templates", "score_pairs"]
