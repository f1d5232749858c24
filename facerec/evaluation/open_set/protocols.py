"""Protocols of open-set evaluation: which photos are enrolled, which probe them, and which pairs are compared.

    blufr               ten trials over all of LFW: all pairs of the test photos, a gallery of 1,000 people with one
                        photo each, probes of them and of strangers. Liao et al., "A Benchmark Study of Large-scale
                        Unconstrained Face Recognition", IJCB 2014.
    best-rowden-closed  4,249 people with one photo each, 3,143 probes, all of them enrolled. Best-Rowden et al.,
    best-rowden-open    596 people, a probe each, and 9,494 probes of strangers. "Unconstrained Face Recognition:
                        Identifying a Person of Interest from a Media Collection", IEEE TIFS 2014.
    drawn               for any set whose people are known: in each trial some of the people are enrolled with one or
                        more photos, their other photos are probes, and so are those of everybody else (`draw_protocol`).
    all-pairs           every pair of a set once, for TAR at very low FAR.

The lists of the first three are the catalog's lfw_protocols; they number LFW's 13,233 photos from 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facerec.catalog import downloads, entries
from facerec.core import FormatError, ParamsError
from facerec.interop.matlab import read_mat

Ints = NDArray[np.int64]

PUBLISHED = ("blufr", "best-rowden-closed", "best-rowden-open")
"""Protocols on LFW, whose lists are read from files."""
PROTOCOLS = (*PUBLISHED, "drawn", "all-pairs")
LISTS = "lfw_protocols"
"""The catalog entry of those files."""

_CONFIGURATION = "blufr_lfw_config.mat"
_ROLES = ("gallery", "genuine_probe", "impostor_probe")


def _nobody() -> Ints:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class OpenSetTrial:
    """Numbers of photos, each array without repetition.

    Attributes:
        gallery: those enrolled; a person may have several.
        genuine: probes of people in the gallery.
        unknown: probes of people who are not; none in a closed set.
        pairs: photos of which all pairs are verified; none where the protocol has no verification.
    """

    gallery: Ints = field(default_factory=_nobody)
    genuine: Ints = field(default_factory=_nobody)
    unknown: Ints = field(default_factory=_nobody)
    pairs: Ints = field(default_factory=_nobody)


@dataclass(frozen=True)
class OpenSetProtocol:
    """A protocol over n photos.

    Attributes:
        name: as results name it.
        people: (n,) number of the person in each photo.
        trials: at least one.
        photos: names of the photos, without folder and ending, by which rows of embeddings are found; none where row i
            is photo i.
    """

    name: str
    people: Ints
    trials: tuple[OpenSetTrial, ...]
    photos: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for number, trial in enumerate(self.trials, 1):
            _check_trial(trial, self.people, f"trial {number} of {self.name}")


def _check_trial(trial: OpenSetTrial, people: Ints, where: str) -> None:
    """Raise FormatError where a trial cannot be measured as it says."""
    for role in (trial.gallery, trial.genuine, trial.unknown, trial.pairs):
        if len(role) and not 0 <= role.min() <= role.max() < len(people):
            raise FormatError(
                f"{where} names photo {role.max() + 1} of {len(people):,}; its lists belong to another set."
            )
    used = np.concatenate([trial.gallery, trial.genuine, trial.unknown])
    enrolled = people[trial.gallery]
    rules = {
        "names a photo twice": len(np.unique(used)) == len(used) and len(np.unique(trial.pairs)) == len(trial.pairs),
        "has a genuine probe of somebody who is not in its gallery": np.isin(people[trial.genuine], enrolled).all(),
        "has an unknown probe of somebody who is in its gallery": not np.isin(people[trial.unknown], enrolled).any(),
        "has a gallery without genuine probes": bool(len(trial.gallery)) == bool(len(trial.genuine)),
        "measures nothing": bool(len(trial.genuine) or len(trial.pairs)),
    }
    for broken, kept in rules.items():
        if not kept:
            raise FormatError(f"{where} {broken}; correct its lists.")


def load_protocol(name: str, folder: str | Path | None = None) -> OpenSetProtocol:
    """A published protocol on LFW, by its name.

    Args:
        name: one of PUBLISHED.
        folder: with the files of the catalog's lfw_protocols; by default data/raw/lfw_protocols or, where that is
            missing, the machine's mirror.

    Raises:
        ParamsError: for another name.
        FormatError: where the files are missing, damaged or do not fit each other.
    """
    if name not in PUBLISHED:
        raise ParamsError(f"there is no published open-set protocol {name!r}; choose from {', '.join(PUBLISHED)}.")
    if name == "blufr":
        return _blufr(_list_file(_CONFIGURATION, folder))
    end = "_close" if name == "best-rowden-closed" else ""
    roles = _ROLES[:2] if end else _ROLES
    found = [read_mat(_list_file(f"lfw_{role}_index{end}.mat", folder)) for role in roles]
    photos, labels = (read_mat(_list_file(f"{file}.mat", folder)).get(file) for file in ("imagelist_lfw", "id_lfw"))
    try:
        count = len(found[0])
        lists = [
            [_rows(lists[f"{role}_index_{n}"]) for lists, role in zip(found, roles, strict=True)]
            for n in _from_1(count)
        ]
        return OpenSetProtocol(name, _rows(labels), tuple(OpenSetTrial(*each) for each in lists), _stems(photos))
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"the lists of {name} do not fit each other ({error}); download {LISTS} again.") from error


def _blufr(path: Path) -> OpenSetProtocol:
    found = read_mat(path)
    try:
        people, trials = _rows(found["labels"]), []
        parts = zip(found["galIndex"], found["probIndex"], found["testIndex"], strict=True)
        for gallery, probes, tested in ([_rows(each) for each in part] for part in parts):
            known = np.isin(people[probes], people[gallery])
            trials.append(OpenSetTrial(gallery, probes[known], probes[~known], tested))
        return OpenSetProtocol("blufr", people, tuple(trials), _stems(found["imageList"]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise FormatError(f"{path} is no configuration of BLUFR ({error}); download {LISTS} again.") from error


def draw_protocol(
    people: ArrayLike, trials: int = 10, gallery_photos: int = 1, known: float = 0.5, seed: int = 1
) -> OpenSetProtocol:
    """Trials for any set: some people are enrolled, all other photos are probes.

    Args:
        people: (n,) who each photo shows.
        trials: how many.
        gallery_photos: photos of each enrolled person; whoever has no more than these is always unknown.
        known: share of the people with more photos who are enrolled.
        seed: the same trials on every machine.

    Raises:
        ParamsError: for options out of range, or where nobody can be enrolled.

    >>> protocol = draw_protocol(["a", "a", "b", "b", "c"], trials=1)
    >>> len(protocol.trials[0].gallery), len(protocol.trials[0].genuine), len(protocol.trials[0].unknown)
    (1, 1, 3)
    """
    if trials < 1 or gallery_photos < 1 or not 0 < known <= 1 or seed < 0:
        raise ParamsError(
            "drawn trials take trials and gallery photos from 1 up, a share in (0, 1] and a seed from 0 up."
        )
    numbers = np.unique(np.asarray(people), return_inverse=True)[1].ravel().astype(np.int64)
    rich = np.flatnonzero(np.bincount(numbers) > gallery_photos) if len(numbers) else _nobody()
    enrolled = max(1, int(known * len(rich)))
    if not len(rich):
        raise ParamsError(f"nobody has more than {gallery_photos} photos, so nobody can be enrolled and probed.")
    drawn = (_draw_trial(numbers, rich, enrolled, gallery_photos, [seed, number]) for number in range(trials))
    return OpenSetProtocol("drawn", numbers, tuple(drawn))


def _draw_trial(people: Ints, rich: Ints, enrolled: int, photos: int, seed: list[int]) -> OpenSetTrial:
    rng = np.random.default_rng(seed)
    chosen = np.isin(people, rng.permutation(rich)[:enrolled])
    order = rng.permutation(len(people))
    by_person = order[np.argsort(people[order], kind="stable")]  # the photos of a person in random order
    starts = np.searchsorted(people[by_person], people[by_person])
    first = by_person[np.arange(len(people)) - starts < photos]
    in_gallery = np.isin(np.arange(len(people)), first) & chosen
    return OpenSetTrial(*(np.flatnonzero(each) for each in (in_gallery, chosen & ~in_gallery, ~chosen)))


def all_pairs_protocol(people: ArrayLike) -> OpenSetProtocol:
    """Every pair of n photos of these people, in one trial."""
    numbers = np.unique(np.asarray(people), return_inverse=True)[1].ravel().astype(np.int64)
    return OpenSetProtocol("all-pairs", numbers, (OpenSetTrial(pairs=np.arange(len(numbers))),))


def match_photos(protocol: OpenSetProtocol, names: Sequence[str]) -> Ints:
    """(n,) row of each photo of the protocol among `names`, -1 where it is missing.

    Folders and endings do not count: "Aaron_Eckhart/Aaron_Eckhart_0001.jpg" is the photo Aaron_Eckhart_0001.

    Raises:
        FormatError: where two rows have one name, or most photos are missing.
    """
    if not protocol.photos:
        if len(names) != len(protocol.people):
            raise FormatError(f"{len(names)} names do not fit the {len(protocol.people)} photos of {protocol.name}.")
        return np.arange(len(names))
    rows = {stem: row for row, stem in enumerate(_stems(names))}
    if len(rows) < len(names):
        raise FormatError(f"two of the {len(names):,} rows have the same photo; give each photo of the set one row.")
    found = np.array([rows.get(photo, -1) for photo in protocol.photos], dtype=np.int64)
    if np.mean(found < 0) > 0.5:
        raise FormatError(
            f"only {(found >= 0).sum():,} of the {len(found):,} photos of {protocol.name} are among the names, such as "
            f"{protocol.photos[0]}; embed all photos of LFW, and name the rows by their files."
        )
    return found


def _list_file(name: str, folder: str | Path | None) -> Path:
    """The file `name` of the protocols' lists."""
    if folder is not None:
        return Path(folder) / name
    path = Path("data/raw") / LISTS / name
    if path.is_file():
        return path
    entry = entries.load_entry(LISTS)
    beside = next((downloads.in_mirror(file, entry) for file in entry.files if file.name == name), None)
    if beside is None:
        raise FormatError(f"the lists of the protocols are missing; run `facerec download {LISTS} data/raw/{LISTS}`.")
    return beside


def _rows(numbers: Any) -> Ints:
    """Numbers from 1 as numbers from 0."""
    values = np.asarray(numbers).ravel()
    if not len(values) or (values != np.floor(values)).any() or values.min() < 1:
        raise ValueError("a list of photos is empty or holds something else than numbers from 1")
    return values.astype(np.int64) - 1


def _from_1(count: int) -> range:
    return range(1, count + 1)


def _stems(photos: Any) -> tuple[str, ...]:
    """Names of photos without folder and ending; MATLAB's lists separate folders by \\."""
    names = [name.replace("\\", "/").rsplit("/", 1)[-1] for name in photos]
    return tuple(name.rpartition(".")[0] or name for name in names)
