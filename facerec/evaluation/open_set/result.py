"""The result of an open-set evaluation: rates of each trial, their mean and deviation, and curves with bands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from facerec.core import rate_name
from facerec.evaluation.curves import POINTS, Records, supports_rate
from facerec.evaluation.open_set.scoring import GalleryScores, PairScores

RANKS = (1, 5, 10)
"""Ranks of closed-set identification that metrics show."""


@dataclass(frozen=True)
class OverTrials:
    """A rate in every trial.

    Attributes:
        trials: the rates, in the order of the trials.
    """

    trials: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the trials."""
        return float(np.mean(self.trials))

    @property
    def std(self) -> float:
        """Standard deviation over the trials (ddof 1, as BLUFR's program takes it); 0 for a single one."""
        return float(np.std(self.trials, ddof=1)) if len(self.trials) > 1 else 0.0

    @property
    def reported(self) -> float:
        """Mean minus standard deviation, which BLUFR's papers report."""
        return self.mean - self.std

    def as_dict(self) -> dict[str, Any]:
        """Mean, std and the list of trials."""
        return {"mean": self.mean, "std": self.std, "trials": list(self.trials)}


@dataclass(frozen=True)
class TrialScores:
    """What was measured in a trial; None for a part that the protocol does not have."""

    pairs: PairScores | None
    search: GalleryScores | None

    def counts(self) -> dict[str, int]:
        """How many pairs and probes of each kind."""
        found: dict[str, int] = {}
        if self.pairs is not None:
            found |= {"genuine_pairs": len(self.pairs.genuine), "impostor_pairs": self.pairs.impostors}
        if self.search is not None:
            found |= {"genuine_probes": len(self.search.mate), "unknown_probes": len(self.search.unknown)}
        return found


@dataclass(frozen=True)
class OpenSetResult:
    """Rates over the trials of a protocol.

    A rate is there only where every trial has at least 1 / FAR impostor pairs, or unknown probes, to support it.

    Attributes:
        protocol: its name.
        fusion: how several photos of a person were enrolled.
        vr_fars, dir_fars: the false accept rates asked for, the headline first.
        trials: scores of each trial, from which everything follows.
        photos: how many the protocol has.
        failures: those without a face, or without a row; they count as errors.
    """

    protocol: str
    fusion: str
    vr_fars: tuple[float, ...]
    dir_fars: tuple[float, ...]
    trials: tuple[TrialScores, ...]
    photos: int
    failures: int

    @cached_property
    def vr(self) -> dict[float, OverTrials]:
        """Verification rate (true accept rate over all pairs) by false accept rate; empty without pairs."""
        supported = [far for far in self.vr_fars if _supports(far, [pairs.impostors for pairs in self._pairs])]
        return {far: OverTrials(tuple(pairs.rate(far) for pairs in self._pairs)) for far in supported}

    @cached_property
    def dir(self) -> dict[float, OverTrials]:
        """Detection and identification rate at rank 1 (TPIR) by false accept rate (FPIR); empty in a closed set."""
        return self.dir_at_rank(1)

    def dir_at_rank(self, rank: int) -> dict[float, OverTrials]:
        """As `dir`, where the person must be among the best `rank`."""
        supported = [far for far in self.dir_fars if _supports(far, self._unknown)]
        return {far: OverTrials(tuple(search.rate(far, rank) for search in self._searches)) for far in supported}

    @cached_property
    def closed_rank1(self) -> OverTrials | None:
        """Share of the genuine probes whose own person scores highest; None without a gallery."""
        return self.closed_rank(1)

    def closed_rank(self, rank: int) -> OverTrials | None:
        """Share of the genuine probes whose own person is among the best `rank`; None without a gallery."""
        if not self._searches:
            return None
        return OverTrials(tuple(search.closed_rate(rank) for search in self._searches))

    @property
    def unsupported(self) -> tuple[str, ...]:
        """Rates asked for that a trial has too few impostors for, such as "vr@1e-9"."""
        lacking = [f"vr@{rate_name(far)}" for far in self.vr_fars if self._pairs and far not in self.vr]
        return (*lacking, *(f"dir@{rate_name(far)}" for far in self.dir_fars if self._known and far not in self.dir))

    @property
    def tied(self) -> float:
        """Share of the genuine probes with which another person scores exactly as their own does."""
        ties = [search.tied for search in self._searches]
        return float(np.mean(np.concatenate(ties))) if ties else 0.0

    def metrics(self) -> dict[str, Any]:
        """Flat scalars: mean and deviation of every rate, and counts of the first trial."""
        rates = {f"vr@{rate_name(far)}": rate for far, rate in self.vr.items()}
        rates |= {f"dir@{rate_name(far)}": rate for far, rate in self.dir.items()}
        rates |= {f"closed_rank{rank}": rate for rank in RANKS if (rate := self.closed_rank(rank)) is not None}
        found: dict[str, Any] = {"protocol": self.protocol}
        for name, rate in rates.items():
            found |= {name: rate.mean, f"{name}_std": rate.std}
        found |= {"tied_probes": self.tied} if self._searches else {}
        return found | self.trials[0].counts() | self._set()

    def answer(self) -> dict[str, Any]:
        """As `facerec openset --json` prints it: vr, dir and closed_rank1 at their headline, then by false accept rate."""
        closed = self.closed_rank1
        return {
            "protocol": self.protocol,
            "vr": _by_far(self.vr, self.vr_fars[0]),
            "dir": _by_far(self.dir, self.dir_fars[0]),
            "closed_rank1": None if closed is None else closed.as_dict(),
            "closed_rank": {
                str(rank): rate.as_dict() for rank in RANKS if (rate := self.closed_rank(rank)) is not None
            },
            "unsupported": list(self.unsupported),
            "counts": self.trials[0].counts() | self._set(),
        }

    def _set(self) -> dict[str, int]:
        return {"trials": len(self.trials), "photos": self.photos, "failures": self.failures}

    def dir_curve(self, rank: int = 1, band: str = "range") -> Records:
        """Records {"fpr", "tpr", "lo", "hi"}: DIR by FAR as plots take it; none where there are no unknown probes.

        `lo` and `hi` are the least and greatest of the trials ("range"), or mean -+ their standard deviation ("std").
        """
        if not self._known:
            return []
        fars = np.geomspace(1 / min(self._unknown), 1, POINTS)
        return _curve("fpr", fars, lambda far: [each.rate(far, rank) for each in self._searches], band)

    def vr_curve(self, band: str = "range") -> Records:
        """As `dir_curve`, of verification over all pairs, up to the highest FAR that was asked for."""
        if not self._pairs:
            return []
        fars = np.geomspace(1 / min(pairs.impostors for pairs in self._pairs), max(self.vr_fars), POINTS)
        return _curve("fpr", fars, lambda far: [pairs.rate(far) for pairs in self._pairs], band)

    @property
    def _pairs(self) -> list[PairScores]:
        return [trial.pairs for trial in self.trials if trial.pairs is not None]

    @property
    def _searches(self) -> list[GalleryScores]:
        return [trial.search for trial in self.trials if trial.search is not None]

    @property
    def _unknown(self) -> list[int]:
        return [len(search.unknown) for search in self._searches]

    @property
    def _known(self) -> bool:
        """Whether there is a gallery, and unknown probes in every trial."""
        return bool(self._searches) and min(self._unknown) > 0


def _supports(far: float, impostors: Sequence[int]) -> bool:
    return bool(impostors) and supports_rate(far, min(impostors))


def _by_far(rates: dict[float, OverTrials], headline: float) -> dict[str, Any] | None:
    """The headline rate and, below "by_far", all of them; None where there are none."""
    if not rates:
        return None
    first = rates[headline].as_dict() if headline in rates else dict.fromkeys(("mean", "std", "trials"))
    return {"far": headline, **first, "by_far": {rate_name(far): rate.as_dict() for far, rate in rates.items()}}


def _curve(x: str, points: Any, rates: Callable[[float], list[float]], band: str) -> Records:
    records = []
    for point in points.tolist():
        over = OverTrials(tuple(rates(point)))
        low, high = (
            (over.mean - over.std, over.mean + over.std) if band == "std" else (min(over.trials), max(over.trials))
        )
        records.append({x: point, "tpr": over.mean, "lo": max(0.0, low), "hi": min(1.0, high)})
    return records
