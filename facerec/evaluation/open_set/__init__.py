"""Open-set evaluation: is a stranger turned away, and an enrolled person found, by one threshold?

`open_set` runs the trials of a protocol over the embeddings of a set:

    from facerec.evaluation.open_set import open_set

    result = open_set(embeddings, photos, "blufr")  # photos: the path of each row in LFW
    result.vr[1e-3].mean, result.dir[1e-2].mean, result.closed_rank1.mean

`protocols` reads the published protocols on LFW, draws one for any other set and lists all pairs of a set; `scoring`
has the scores, exact and block by block; `result` the rates; `on_files` works on files.
"""

from facerec.evaluation.open_set.trials import open_set

__all__ = ["open_set"]
