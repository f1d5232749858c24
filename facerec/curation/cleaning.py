"""Errors inside one training set, found by a network that was trained on others: four kinds, each with its own rule.

two-names   Identities whose centres are as similar as hardly any two people are (`people.impostor_cut`) are one person.
unusable    Faces that lie where faces made bad on purpose lie (`degraded`), and nearer there than to their own person.
duplicate   Photos of a person whose hashes differ little, and whose embeddings confirm it; the one nearest to the
            person's centre stays. The hash is the difference hash of 16x16 brightnesses (256 bits).
foreign     Photos that are no nearer to their own person than photos of others mostly are.

A photo has the first of these reasons only. They are proposals: `sheets` show them, and a person decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.core import FormatError, map_in_threads, torch_device
from facerec.curation import degraded
from facerec.curation.hashing import difference_hash
from facerec.curation.people import BINS, People, cosine_blocks, count_cosines, group_people, impostor_cut, quantiles
from facerec.embedding.cached import embed_cached
from facerec.embedding.embedder import load_embedder
from facerec.embedding.engines import use_engine
from facerec.store.decisions import Decision, Decisions, Groups, decided_labels, require_names
from facerec.store.face_dataset import FaceDataset
from facerec.store.shards import Shards, read_shards

KINDS = ("two-names", "unusable", "duplicate", "foreign")
_SAMPLED = 4096  # faces compared with all centres to calibrate "foreign", drawn with a fixed seed
_FEWEST = 3  # photos of an identity that can say which of them is foreign


@dataclass(frozen=True)
class CleaningOptions:
    """The rules.

    Attributes:
        kinds: which errors are looked for.
        missed: share of foreign photos that may pass; a lower one also takes more good photos for foreign.
        expected: how many pairs of different people may be taken for one person.
        bits: of 256, by which the hashes of duplicates may differ.
        confirmed: cosine that the embeddings of duplicates have at least.
    """

    kinds: tuple[str, ...] = KINDS
    missed: float = 0.01
    expected: float = 1.0
    bits: int = 44
    confirmed: float = 0.85


@dataclass(frozen=True)
class FoundErrors:
    """Errors of a face set.

    Attributes:
        faces: the set.
        people: its people as the labels say.
        found: proposals, by kind and in the order of the set.
        cuts: the cosine that a kind begins at, by kind.
        unjudged: photos of identities with too few to say which is foreign.
    """

    faces: Shards
    people: People
    found: tuple[Decision, ...]
    cuts: dict[str, float]
    unjudged: int

    def decisions(self, made: Mapping[str, Any]) -> Decisions:
        """The proposals for a file; `made` says how they came about."""
        return Decisions(self.found, {**made, **{f"cut_{kind}": cut for kind, cut in self.cuts.items()}})

    def metrics(self, decided: Decisions) -> dict[str, Any]:
        """Identities and images before and after ("_c") the decisions, how many errors of each kind, and the cuts."""
        kinds = Counter(each.reason for each in self.found)
        labels = decided_labels(self.faces, self.faces.labels, decided.of_set(self.faces.meta.dataset))
        counts = {"identities": self.faces.classes, "images": len(self.faces), "unjudged": self.unjudged}
        counts |= {"identities_c": len(np.unique(labels[labels >= 0])), "images_c": int((labels >= 0).sum())}
        found = {kind.replace("-", "_"): kinds[kind] for kind in KINDS}
        return counts | found | {f"cut_{kind.replace('-', '_')}": cut for kind, cut in self.cuts.items()}


def find_errors(
    faces: str | Path, model: str | Path, options: CleaningOptions | None = None, engine: str = "torch"
) -> FoundErrors:
    """The errors of face set `faces` by the network `model`, run by `engine`; its embeddings are cached.

    Raises FormatError for a set of fewer than 2 identities or 8 faces, or with faces whose identity is unknown, and as
    `load_embedder` and `embed_cached` do.
    """
    shards, embedder = read_shards(faces, "faces"), use_engine(load_embedder(model, torch_device()), engine)
    require_names(shards)
    if shards.classes < 2 or len(shards) < 8:
        raise FormatError(f"{faces} holds too little to clean; that takes 8 faces of 2 identities.")
    options, dataset = options or CleaningOptions(), FaceDataset([shards], embedder.preprocessing.size)
    people = group_people(embed_cached(embedder, shards).whole(), shards.identities)
    search = _Search(dataset, people, options)
    search.join_names()
    if "unusable" in options.kinds:
        sample = np.sort(np.random.default_rng(0).permutation(len(shards))[: degraded.SAMPLE])
        search.find_unusable(degraded.bad_faces(dataset.batch(sample), people.unit[sample], embedder.embed))
    if "duplicate" in options.kinds:
        search.find_duplicates()
    if "foreign" in options.kinds:
        search.find_foreign()
    order = {kind: number for number, kind in enumerate(KINDS)}
    decisions = sorted(search.decisions, key=lambda each: order[each.reason])
    return FoundErrors(shards, people, tuple(decisions), search.cuts, search.unjudged)


class _Search:
    """The search for errors, a kind after the other; a photo has the first reason that is found."""

    def __init__(self, dataset: FaceDataset, people: People, options: CleaningOptions) -> None:
        self._dataset, self._named, self._people, self._options = dataset, people, people, options
        self._faces = dataset.sets[0]
        self._judged = np.zeros(len(people.members), bool)
        self.decisions: list[Decision] = []
        self.cuts: dict[str, float] = {}
        self.unjudged = 0

    def _leave_out(self, row: int, reason: str, like: str, similarity: float) -> None:
        photo, similarity = self._faces.sources[row], round(float(similarity), 4)
        name = self._faces.meta.dataset
        self.decisions.append(Decision(name, "leave-out", reason, photo=photo, like=like, similarity=similarity))
        self._judged[row] = True

    def join_names(self) -> None:
        """Find identities that are one person; from now on their photos are those of one."""
        names, centres, counts = self._people.names, self._people.centres, self._people.counts
        histogram = np.zeros(BINS, np.int64)
        for start, cosines in cosine_blocks(centres, centres):
            histogram += count_cosines(cosines[_later(cosines, start)])
        self.cuts["two-names"] = cut = impostor_cut(histogram, self._options.expected)
        if "two-names" not in self._options.kinds:
            return
        pairs = [pair for start, cosines in cosine_blocks(centres, centres) for pair in _pairs(cosines, start, cut)]
        groups = Groups(len(names))
        for similarity, first, second in sorted(pairs, key=lambda pair: (-pair[0], pair[1:])):
            fewer, more = sorted((first, second), key=lambda person: (int(counts[person]), person))
            if groups.join(fewer, more):
                merged = Decision(
                    self._faces.meta.dataset,
                    "merge",
                    "two-names",
                    names[fewer],
                    like=names[more],
                    similarity=similarity,
                )
                self.decisions.append(merged)
        if self.decisions:
            joined = [names[groups.first(person)] for person in self._people.members.tolist()]
            self._people = group_people(self._people.unit, joined)

    def find_unusable(self, bad: dict[str, degraded.BadFaces]) -> None:
        """Find faces like those made bad, and more so than like their own person."""
        people, ways = self._people, list(bad)
        over, worst = degraded.worst_likeness(people.unit, bad)
        cuts = np.array([each.cut for each in bad.values()])
        self.cuts["unusable"] = float(cuts.min())
        likeness = over + cuts[worst]
        for row in np.flatnonzero((over >= 0) & ~(people.own >= likeness)).tolist():
            self._leave_out(row, "unusable", ways[worst[row]], likeness[row])

    def find_duplicates(self) -> None:
        """Find photos of a person that are one photo."""
        self.cuts["duplicate"] = self._options.confirmed
        pairs = list(self._alike())
        rows = sorted({row for pair in pairs for row in pair})
        hashes = dict(
            zip(rows, map_in_threads(lambda row: difference_hash(self._dataset.image(row)), rows), strict=True)
        )
        groups = Groups(len(self._people.members))
        for first, second in pairs:
            if np.bitwise_count(hashes[first] ^ hashes[second]).sum() <= self._options.bits:
                groups.join(first, second)
        copies: dict[int, list[int]] = {}
        for row in rows:
            copies.setdefault(groups.first(row), []).append(row)
        own = np.nan_to_num(self._people.own).round(2)
        for group in copies.values():
            kept, *others = sorted(group, key=lambda row: (-own[row], row))
            for row in others:
                self._leave_out(row, "duplicate", self._faces.sources[kept], _cosine(self._people, row, kept))

    def _alike(self) -> Iterator[tuple[int, int]]:
        """Pairs of photos of a person whose embeddings are those of duplicates."""
        members = np.where(self._judged, -1, self._people.members)
        order = np.argsort(members, kind="stable")
        for mine in np.split(order, np.flatnonzero(np.diff(members[order])) + 1):
            if members[mine[0]] >= 0:
                unit = self._people.unit[mine]
                for start, cosines in cosine_blocks(unit, unit):
                    for _, first, second in _pairs(cosines, start, self._options.confirmed):
                        yield int(mine[first]), int(mine[second])

    def find_foreign(self) -> None:
        """Find photos that are no nearer to their own person than those of others mostly are."""
        people = self._people
        sample = np.sort(np.random.default_rng(0).permutation(len(people.members))[:_SAMPLED])
        histogram = np.zeros(BINS, np.int64)
        for start, cosines in cosine_blocks(people.unit[sample], people.centres):
            own = people.members[sample[start : start + len(cosines)]]
            cosines[np.arange(len(cosines)), own] = np.nan
            histogram += count_cosines(cosines)
        self.cuts["foreign"] = cut = round(float(quantiles(histogram, np.array([self._options.missed]))[0]), 3)
        enough = people.counts[people.members] >= _FEWEST
        self.unjudged = int((~enough).sum())
        for row in np.flatnonzero(enough & (people.own < cut) & ~self._judged).tolist():
            others = people.centres @ people.unit[row]
            others[people.members[row]] = -1
            nearest = int(others.argmax())
            self._leave_out(row, "foreign", people.names[nearest] if others[nearest] >= cut else "", people.own[row])


def _later(cosines: NDArray[np.float32], start: int) -> NDArray[np.bool_]:
    """Which cosines of a block of a set with itself are above the diagonal, so that a pair counts once."""
    height, width = cosines.shape
    later: NDArray[np.bool_] = np.arange(width) > np.arange(height)[:, None] + start
    return later


def _pairs(cosines: NDArray[np.float32], start: int, cut: float) -> Iterator[tuple[float, int, int]]:
    """(cosine, first, second) of the pairs in a block from `cut` on, to four decimals, which no order of sums changes."""
    rounded = cosines.round(4)
    for row, column in zip(
        *(each.tolist() for each in np.nonzero((rounded >= cut) & _later(cosines, start))), strict=True
    ):
        yield round(float(cosines[row, column]), 4), row + start, column


def _cosine(people: People, first: int, second: int) -> float:
    return float((people.unit[first].astype(np.float64) * people.unit[second].astype(np.float64)).sum())
