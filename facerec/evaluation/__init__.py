"""Evaluation: how well embeddings tell people apart, from arrays to frozen results with confidence intervals.

    from facerec.evaluation.verification import evaluate  # are two faces one person?
    from facerec.evaluation.identification import identify  # is the right person first among strangers?

    evaluate(embeddings, same).accuracy
    identify(probes, labels, distractors).rank1

`verification` and `identification` hold the protocols, each with `on_files` as its edge to files; `statistics` the
bootstrap over identities and p-values that both share; `curves` rates and curves as records for plots; `comparison`
compares two runs by the results and scores they left.
"""
