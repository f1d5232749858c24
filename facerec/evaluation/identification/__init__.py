"""MegaFace-style identification: is the right person found first among many strangers?

`identify` ranks, for each probe, its mates (other photos of the same person) among the distractors:

    from facerec.evaluation.identification import identify
    from facerec.store.embeddings import normalise

    result = identify(normalise(probes), names, normalise(distractors), fprs=(1e-6,))
    result.rank1, result.tpr[1e-6], result.cmc

`noise` removes mislabelled faces first, `devkit` reads and writes the MegaFace devkit's JSON, `bands` gives intervals,
`paired` compares two runs, `on_files` works on files.
"""

from facerec.evaluation.identification.ranking import identify

__all__ = ["identify"]
