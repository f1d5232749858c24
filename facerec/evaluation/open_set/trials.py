"""`open_set`: the trials of a protocol over the embeddings of a set."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from facerec.core import FormatError, ParamsError, track
from facerec.evaluation.open_set import protocols, scoring
from facerec.evaluation.open_set.result import OpenSetResult, TrialScores

VR_FARS = (1e-3, 1e-2, 1e-4, 1e-5, 1e-6)
"""False accept rates of verification; the first is BLUFR's."""
DIR_FARS = (1e-2, 1e-1, 1e-3)
"""Shares of unknown probes that are accepted; the first is BLUFR's."""
FUSIONS = ("max", "mean")


def open_set(
    embeddings: ArrayLike,
    names: Sequence[str],
    protocol: str | protocols.OpenSetProtocol = "blufr",
    vr_fars: Sequence[float] = VR_FARS,
    dir_fars: Sequence[float] = DIR_FARS,
    fusion: str = "max",
) -> OpenSetResult:
    """Verification of all pairs, closed-set and open-set identification, over the trials of a protocol.

    Scores are cosines, so embeddings of any length are brought to length 1 first.

    >>> faces = [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0], [-1.0, 0.2]]
    >>> result = open_set(faces, ["ann", "ann", "bob", "bob", "cid"], "all-pairs", vr_fars=(0.125,))
    >>> result.vr[0.125].mean
    1.0

    Args:
        embeddings: (n, d), a row a photo; a row of NaN or zeros is a photo without a face, which counts as an error.
        names: n paths of photos of LFW for "blufr", "best-rowden-closed" and "best-rowden-open" (folders and endings do
            not count); n people for "drawn" and "all-pairs".
        protocol: one of these names, or a protocol of one's own; see `facerec.evaluation.open_set.protocols`.
        vr_fars: shares of the impostor pairs that the threshold of verification lets pass, the headline first.
        dir_fars: shares of the unknown probes that the threshold of identification lets pass, the headline first.
        fusion: for several photos of a person in the gallery: "max" of their scores, or their "mean" direction.

    Raises:
        FormatError: where arrays or names do not fit each other or the protocol, for infinite values, and where the
            lists of a published protocol are not there.
        ParamsError: for an unknown protocol or fusion, and for rates outside (0, 1).
    """
    _check_options(vr_fars, dir_fars, fusion)
    units = scoring.unit_rows(embeddings)
    if len(units.rows) != len(names):
        raise FormatError(f"{len(names):,} names do not fit {len(units.rows):,} rows of embeddings.")
    plan = find_protocol(protocol, names)
    rows = protocols.match_photos(plan, names)
    photos = units.at(rows)
    trials = track(plan.trials, plan.name, unit="trials")
    found = tuple(_measure(photos, plan.people, trial, max(vr_fars), fusion) for trial in trials)
    return OpenSetResult(
        plan.name, fusion, tuple(vr_fars), tuple(dir_fars), found, len(rows), int(photos.missing.sum())
    )


def find_protocol(protocol: str | protocols.OpenSetProtocol, names: Sequence[str]) -> protocols.OpenSetProtocol:
    """The protocol itself, the published one of that name, or that of a set with these people."""
    if isinstance(protocol, protocols.OpenSetProtocol):
        return protocol
    if protocol in protocols.PUBLISHED:
        return protocols.load_protocol(protocol)
    if protocol == "drawn":
        return protocols.draw_protocol(names)
    if protocol == "all-pairs":
        return protocols.all_pairs_protocol(names)
    raise ParamsError(f"there is no open-set protocol {protocol!r}; choose from {', '.join(protocols.PROTOCOLS)}.")


def _measure(
    photos: scoring.UnitRows, people: scoring.Ints, trial: protocols.OpenSetTrial, far: float, fusion: str
) -> TrialScores:
    pairs = scoring.score_pairs(photos.take(trial.pairs), people[trial.pairs], far) if len(trial.pairs) else None
    searched = None
    if len(trial.gallery):
        searched = scoring.score_gallery(photos, people, trial.gallery, trial.genuine, trial.unknown, fusion)
    return TrialScores(pairs, searched)


def _check_options(vr_fars: Sequence[float], dir_fars: Sequence[float], fusion: str) -> None:
    for fars in (vr_fars, dir_fars):
        if not fars or not all(0 < far < 1 for far in fars):
            raise ParamsError(f"false accept rates lie between 0 and 1, and there must be one; not {list(fars)}.")
    if fusion not in FUSIONS:
        raise ParamsError(f"photos of a person are fused by {' or '.join(FUSIONS)}, not {fusion!r}.")
