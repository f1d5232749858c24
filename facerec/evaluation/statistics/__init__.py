"""Statistics that verification and identification share: one bootstrap over identities, and tests of differences.

from facerec.evaluation.statistics.bootstrap import identity_weights, pair_weights, percentile_interval

weights = pair_weights(identity_weights(people, trials=1000, seed=1), first, second)  # (trials, pairs)
"""
