"""Outcomes of every search as Parquet tables, from which two runs are compared.

A run NAME of a task is two Parquet tables:

- NAME_pairs.parquet, a row an ordered pair of one person's probes: `identity`, the photos `probe` and `mate`, the
  mate's `rank` (distractors above it, 0 is best), and `false_positives`, how many impostor scores, of all probes
  against all distractors, are above the pair's own; null where a face is missing.
- NAME_people.parquet, a row a person: `identity`, how many `probes` there are, and `impostors`, the places of their
  impostor scores among the highest of all, 0 for the highest. All rows together list as many places as are known; a
  count of false positives beyond that says only that there are more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from facerec.core import FormatError
from facerec.evaluation.identification.result import Bools, IdentificationResult, IdentificationRun, Ints, Separation
from facerec.store import tables

_PAIRS = pa.schema(
    {**dict.fromkeys(("identity", "probe", "mate"), pa.string()), "rank": pa.int32(), "false_positives": pa.int32()}
)
_PEOPLE = pa.schema({"identity": pa.string(), "probes": pa.int32(), "impostors": pa.list_(pa.int32())})


@dataclass(frozen=True)
class ProbeNames:
    """Photo and person of each probe, by name."""

    photos: Sequence[str]
    identities: Sequence[str]


@dataclass(frozen=True)
class RunOutcomes(IdentificationRun):
    """A run by the names of its photos; every positive of its separation is there in both directions.

    Attributes:
        pairs: p names (identity, probe, mate), in sorted order.
        identity: (p,) number of each pair's identity among `people`.
        people: k names of identities, in sorted order.
    """

    pairs: list[tuple[str, str, str]]
    identity: Ints
    people: list[str]


def write_outcomes(result: IdentificationResult, probes: ProbeNames, folder: Path, name: str) -> None:
    """Write both tables of run `name` into `folder`; the same result gives the same bytes."""
    pq.write_table(_pairs(result, probes), folder / f"{name}_pairs.parquet", compression="none")
    pq.write_table(
        _people(result, probes),
        folder / f"{name}_people.parquet",
        compression="none",
        use_dictionary=["identity"],
        column_encoding={"impostors.list.element": "DELTA_BINARY_PACKED"},  # ascending, so a byte or two each
    )


def has_outcomes(folder: Path, name: str) -> bool:
    """Whether `folder` holds run `name`."""
    return all((folder / f"{name}_{table}.parquet").is_file() for table in ("pairs", "people"))


def read_outcomes(folder: Path, name: str, distractors: int) -> RunOutcomes:
    """Read run `name` of `folder`, whose probes were ranked among so many distractors."""
    pairs = _sorted(folder / f"{name}_pairs.parquet", _PAIRS, ("identity", "probe", "mate"))
    people = _sorted(folder / f"{name}_people.parquet", _PEOPLE, ("identity",))
    names = people["identity"].to_pylist()
    numbers = {person: number for number, person in enumerate(names)}
    identity = np.array([numbers.get(person, -1) for person in pairs["identity"].to_pylist()], dtype=np.int64)
    if (identity < 0).any() or len(numbers) < len(names):
        raise FormatError(f"the tables of {folder / name} do not fit each other; run `dvc repro`.")
    probes = people["probes"].to_numpy().astype(np.int64)
    triples = zip(*(pairs[column].to_pylist() for column in ("identity", "probe", "mate")), strict=True)
    ranks = pairs["rank"].to_numpy().astype(np.int64)
    found = _separation(pairs, _impostors(people, folder / name), identity, int(probes.sum()) * distractors)
    return RunOutcomes(ranks, found, probes, list(triples), identity, names)


def _pairs(result: IdentificationResult, probes: ProbeNames) -> pa.Table:
    photos, identities = pa.array(probes.photos), pa.array(probes.identities)
    counts, missing = _false_positives(result)
    probe, mate = pa.array(result.probe), pa.array(result.mate)
    counted = pa.array(counts, pa.int32(), mask=missing)
    columns = [identities.take(probe), photos.take(probe), photos.take(mate), result.ranks, counted]
    return pa.table(columns, schema=_PAIRS)


def _false_positives(result: IdentificationResult) -> tuple[Ints, Bools]:
    """(p,) impostors above each ordered pair, and whether a face is missing; the same in both directions."""
    found = result.separation
    keys = result.probe * result.probes + result.mate
    order = np.argsort(keys)
    back = result.mate[found.pair] * result.probes + result.probe[found.pair]
    both = np.concatenate([found.pair, order[np.searchsorted(keys, back, sorter=order)]])
    counts, missing = np.zeros(len(keys), dtype=np.int64), np.ones(len(keys), dtype=bool)
    counts[both] = np.tile(found.false_positives, 2)
    missing[both] = ~np.tile(found.enrolled, 2)
    return counts, missing


def _people(result: IdentificationResult, probes: ProbeNames) -> pa.Table:
    numbers = np.unique(result.identity, return_index=True)[1]
    names = [probes.identities[row] for row in numbers.tolist()]
    highest = result.separation.tail_identity[: result.separation.known]
    order = np.argsort(highest, kind="stable")
    ends = np.searchsorted(highest[order], np.arange(len(names) + 1))
    places = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(order, pa.int32()))
    return pa.table([names, np.bincount(result.identity), places], schema=_PEOPLE)


def _sorted(path: Path, schema: pa.Schema, keys: Sequence[str]) -> pa.Table:
    table = tables.read_parquet(path, schema)
    if any(table[name].null_count for name in schema.names if name != "false_positives"):
        raise FormatError(f"{path} lacks some values; run `dvc repro`.")
    return table.sort_by([(key, "ascending") for key in keys]).combine_chunks()


def _impostors(people: pa.Table, where: Path) -> Ints:
    """(known,) number of the identity that each of the highest impostor scores belongs to, the highest first."""
    lists = people["impostors"].combine_chunks()
    places = lists.flatten().to_numpy(zero_copy_only=False)
    if not np.array_equal(np.sort(places), np.arange(len(places))):
        raise FormatError(f"the impostors of {where} do not take each place once; run `dvc repro`.")
    highest = np.empty(len(places), dtype=np.int64)
    highest[places] = np.repeat(np.arange(len(people)), lists.value_lengths())
    return highest


def _separation(pairs: pa.Table, impostors: Ints, identity: Ints, negatives: int) -> Separation:
    """With every positive in both directions, which does not change the rates."""
    counts = pairs["false_positives"].fill_null(-1).to_numpy().astype(np.int64)
    order = np.argsort(-counts, kind="stable")  # ascending by score
    return Separation(
        pair=order,
        identity=identity[order],
        enrolled=counts[order] >= 0,
        false_positives=counts[order],
        tail_identity=impostors,
        known=len(impostors),
        negatives=negatives,
    )
