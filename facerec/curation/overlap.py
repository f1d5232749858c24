"""People that a training set shares with a benchmark: candidates by name and by the similarity of their centres.

A network that was trained on people of a benchmark is not measured on strangers there. MegaFace demands that training
sets hold none of FaceScrub's people, and tables with "(C)" columns give results without the people in common.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facerec.core import torch_device
from facerec.curation.names import same_names
from facerec.curation.people import BINS, People, cosine_blocks, count_cosines, group_people, impostor_cut
from facerec.embedding.cached import embed_cached
from facerec.embedding.embedder import load_embedder
from facerec.embedding.engines import use_engine
from facerec.store.decisions import Decision, Decisions, decided_labels, require_names
from facerec.store.shards import Shards, is_shard_set, read_shards

REASONS = ("name", "similarity")


@dataclass(frozen=True)
class SharedPerson:
    """An identity of the training set that may be in the benchmark.

    Attributes:
        train, test: numbers of both among their people.
        by: "name", "similarity", or "name and similarity".
        similarity: cosine of their centres.
    """

    train: int
    test: int
    by: str
    similarity: float


@dataclass(frozen=True)
class Overlap:
    """What two sets have in common.

    Attributes:
        candidates: by similarity, highest first; of each training identity the most similar one by name or similarity.
        cut: cosine of centres from which on two identities are taken for one person.
        train, test: their people.
    """

    candidates: tuple[SharedPerson, ...]
    cut: float
    train: People
    test: People


def find_overlap(train: People, test: People, expected: float = 1.0) -> Overlap:
    """The identities of `train` that seem to be in `test`.

    Candidates by similarity have centres at least as similar as `impostor_cut` for `expected` false ones among all
    comparisons; the centres are compared by the same network. Candidates by name have the same `plain_name`.
    """
    histogram = np.zeros(BINS, np.int64)
    for _, cosines in cosine_blocks(train.centres, test.centres):
        histogram += count_cosines(cosines)
    cut = impostor_cut(histogram, expected)
    pairs = {
        (start + row, column)
        for start, cosines in cosine_blocks(train.centres, test.centres)
        for row, column in zip(*(places.tolist() for places in np.nonzero(cosines.round(4) >= cut)), strict=True)
    }
    named = same_names(train.names, test.names)
    best: dict[int, SharedPerson] = {}
    for pair in sorted({*pairs, *named}):
        similarity = _cosine(train, test, pair)
        by = " and ".join(name for name, found in zip(REASONS, (pair in named, pair in pairs), strict=True) if found)
        if pair[0] not in best or similarity > best[pair[0]].similarity:
            best[pair[0]] = SharedPerson(*pair, by, similarity)
    ordered = sorted(best.values(), key=lambda each: (-each.similarity, each.train))
    return Overlap(tuple(ordered), cut, train, test)


def _cosine(train: People, test: People, pair: tuple[int, int]) -> float:
    """To four decimals, which no order of sums changes."""
    first, second = train.centres[pair[0]].astype(np.float64), test.centres[pair[1]].astype(np.float64)
    return round(float((first * second).sum()), 4)


@dataclass(frozen=True)
class SharedPeople:
    """What training sets have in common with the face set `test` of a benchmark: the overlap with each of them."""

    test: Shards
    parts: tuple[tuple[Shards, Overlap], ...]

    def decisions(self, made: Mapping[str, Any]) -> Decisions:
        """Proposals to leave the candidates out of the training sets; `made` says how they came about."""
        cuts = {f"cut_{shards.meta.dataset}": overlap.cut for shards, overlap in self.parts}
        proposed = [
            Decision(
                shards.meta.dataset,
                "leave-out",
                "overlap",
                identity=overlap.train.names[each.train],
                like=overlap.test.names[each.test],
                similarity=each.similarity,
            )
            for shards, overlap in self.parts
            for each in overlap.candidates
        ]
        return Decisions(tuple(proposed), {**made, "test": self.test.meta.dataset, **cuts})

    def metrics(self, decided: Decisions) -> dict[str, Any]:
        """Identities and images of the training sets before and after ("_c") the decisions, and candidates by kind.

        `test_identities` and `test_images` count the benchmark's people that remain in "_c" likewise.
        """
        found: Counter[str] = Counter()
        for shards, overlap in self.parts:
            labels = decided_labels(shards, shards.labels, decided.of_set(shards.meta.dataset))
            found["identities"] += shards.classes
            found["images"] += len(shards)
            found["identities_c"] += len(np.unique(labels[labels >= 0]))
            found["images_c"] += int((labels >= 0).sum())
            found["by_name"] += sum("name" in each.by for each in overlap.candidates)
            found["by_similarity"] += sum("similarity" in each.by for each in overlap.candidates)
        gone = np.isin(self.parts[0][1].test.names, sorted(decided.likes("overlap")))
        counts = self.parts[0][1].test.counts
        tested = {"test_identities": len(gone), "test_identities_c": int((~gone).sum())}
        tested |= {"test_images": int(counts.sum()), "test_images_c": int(counts[~gone].sum())}
        cuts = {f"cut_{shards.meta.dataset}": overlap.cut for shards, overlap in self.parts}
        return {**found, **tested, **cuts}


def overlap_of_sets(
    train: Sequence[Path], test: Path, model: str | Path, expected: float = 1.0, engine: str = "torch"
) -> SharedPeople:
    """The people that each training set shares with `test`, by the network `model`, whose embeddings are cached.

    A photo of the benchmark without a name is compared as a person of its own. Raises FormatError for a training set
    with faces of unknown identity, and as `load_embedder` and `embed_cached` do.
    """
    embedder = use_engine(load_embedder(model, torch_device()), engine)
    bench = read_shards(test, "faces")
    names = [name or source for name, source in zip(bench.identities, bench.sources, strict=True)]
    tested = group_people(embed_cached(embedder, bench).whole(), names)
    parts = []
    for shards in (read_shards(folder, "faces") for folder in train if is_shard_set(folder)):
        require_names(shards)
        people = group_people(embed_cached(embedder, shards).whole(), shards.identities)
        parts.append((shards, find_overlap(people, tested, expected)))
    return SharedPeople(bench, tuple(parts))
