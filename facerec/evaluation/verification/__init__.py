"""Verification: do two photos show the same person? From embeddings of pairs to accuracy, TAR at FAR, AUC and EER.

`evaluate` takes arrays and gives a frozen result:

    from facerec.evaluation.verification import evaluate

    result = evaluate(embeddings, same, protocol="insightface")  # pair i is rows 2i and 2i + 1
    result.accuracy, result.tar, result.auc

`protocols` describes the three published protocols, `intervals` says how far the metrics
could be off, `paired` compares two runs, `on_files` works on files.
"""

from facerec.evaluation.verification.cross_validation import evaluate

__all__ = ["evaluate"]
