"""Entries of the catalog, one YAML file each in data/catalog/: what can be downloaded or rendered.

An entry says where files come from, how to recognise them, what set to make of them, under which terms,
and how many photos, identities and pairs the set must have. The keys are the fields of `CatalogEntry`; an
unknown key is an error. The catalog lies in the folder named by FACEREC_CATALOG, else in data/catalog of
the current directory, else the one that comes with the package.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from facerec.core import AcquireError, Description, home, local_setting, parse_yaml, shipped
from facerec.store.model_metadata import Preprocessing

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")]

_ARCHIVES = (".tar.gz", ".tar", ".tgz", ".zip")


DOWNLOADS = Path(".facerec/downloads")
"""Where downloaded files are kept, a folder for each entry."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Version(_Strict):
    """A version of a file: its digest, and its size where that is published."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    size: Annotated[int, Field(ge=0)] | None = None
    note: str = ""

    @model_validator(mode="after")
    def _has_a_digest(self) -> Version:
        if not (self.sha256 or self.md5):
            raise ValueError("a version needs a sha256 or an md5")
        return self


class File(_Strict):
    """A file to download: its name in mirrors, its published addresses, and its use."""

    name: FileName
    """Different from that of any other file of the catalog, so that one folder can hold them all."""
    urls: list[str] = []
    versions: list[Version] = []
    """Accepted versions; a file that matches none is refused. Empty: later copies must equal the first one."""
    use: Literal["photos", "pack", "copy"] = "copy"
    """"photos": an archive whose photos become the shards of the set; "pack": an archive of train.rec and its
    companions; "copy": kept as it is."""
    save_as: FileName | None = None
    """Name in the set, when not `name`."""
    keep: FileName | None = None
    """A folder of a photo archive whose other files, such as a protocol, are kept beside the shards."""
    only: FileName | None = None
    """For a photo archive: the file of this entry, a feature list of MegaFace's devkit, that lists the photos of the
    set in their order; the archive may hold more."""
    people: FileName | None = None
    """For a photo archive: the file of this entry with lines "path<TAB>name" or "path label" that lists the photos of
    the set in their order and says who they show; the archive may hold more."""

    @property
    def folder(self) -> str | None:
        """Name of the folder that may replace this archive; None for a file that is not opened as an archive."""
        ending = next((ending for ending in _ARCHIVES if self.name.endswith(ending)), None)
        return None if self.use == "copy" or ending is None else self.name.removesuffix(ending)


class SetCounts(_Strict):
    """Numbers of a set; None where unknown."""

    photos: int | None = None
    identities: int | None = None
    pairs: int | None = None


class CatalogEntry(_Strict):
    """One data set, pack, model or group of lists."""

    name: Name
    title: str
    kind: Literal["photos", "pack", "model", "weights", "lists"]
    """"model": embeds faces and says which; "weights": of a detector, which knows its own input."""
    generator: Literal["synthetic"] | None = None
    part: Literal["people", "pack", "lfw", "facescrub", "megaface"] | None = None
    options: dict[str, Any] = {}
    files: list[File] = []
    layout: Literal["identity", "identity-view", "unlabelled"] = "identity"
    """"identity": the folder of a photo is its identity; "identity-view": the one above, as in 001/profile/01.jpg;
    "unlabelled": identities are unknown."""
    licence: Annotated[str, Field(min_length=1)]
    terms: str = ""
    citation: str = ""
    homepage: str = ""
    counts: SetCounts = SetCounts()
    """Numbers that the finished set must have."""
    published: SetCounts = SetCounts()
    """Numbers that the authors report where copies differ, as in a set of links that break; not checked."""
    manual: str = ""
    """How to get by hand what no program may or can fetch."""
    pictures: bool = False
    """Whether reports may show the people of a fetched set: its terms allow it, or the photos are one's own."""
    preprocessing: Preprocessing | None = None
    detector: str | None = None
    """For weights: the detector that they belong to. For a model: the entry of the detector whose faces it was measured
    on, or a detector without weights of its own."""

    @property
    def shown(self) -> bool:
        """Whether reports may show its faces: rendered people do not exist, others need permission."""
        return self.generator is not None or self.pictures

    @model_validator(mode="after")
    def _is_complete(self) -> CatalogEntry:
        rendered, uses = self.generator is not None, [file.use for file in self.files]
        photos = int(self.kind == "photos" and bool(self.files))
        rules = {
            "an entry has either a generator or files": rendered != bool(self.files),
            "part goes with a generator": rendered == (self.part is not None),
            "only a generator has options": rendered or not self.options,
            "preprocessing goes with a model, and a model needs it": (self.kind == "model") == bool(self.preprocessing),
            "one file with use: photos belongs to a photo set, and to nothing else": uses.count("photos") == photos,
            "only names another file of the entry": {file.only for file in self.files}
            <= {None, *(file.name for file in self.files)},
            "people names another file of the entry": {file.people for file in self.files}
            <= {None, *(file.name for file in self.files)},
            "detector goes with a model or weights": self.kind in ("model", "weights") or self.detector is None,
            "use: pack belongs to a pack": self.kind == "pack" or "pack" not in uses,
            "pictures goes with photos or a pack": self.kind in ("photos", "pack") or not self.pictures,
            "a file without urls needs manual, which says how to get it": self.manual
            or all(f.urls for f in self.files),
        }
        broken = [rule for rule, kept in rules.items() if not kept]
        if broken:
            raise ValueError(broken[0])
        return self


def catalog_folder() -> Path:
    """The catalog's folder; AcquireError when there is none."""
    named = local_setting("catalog", "")
    places = [home() / named] if named else [Path("data/catalog"), shipped() / "data/catalog"]
    for place in places:
        if place.is_dir():
            return place
    raise AcquireError(f"no catalog in {' or '.join(map(str, places))}; run from the repository root.")


def entry_names() -> list[str]:
    """Names of all entries, sorted."""
    return sorted(path.stem for path in catalog_folder().glob("*.yaml"))


def load_entry(name: str) -> CatalogEntry:
    """The entry `name`; AcquireError when it is unknown (with the closest names) or malformed."""
    if name not in entry_names():
        close = difflib.get_close_matches(name, entry_names(), n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(entry_names())}."
        raise AcquireError(f"the catalog has no entry {name!r}; {hint}")
    path = catalog_folder() / f"{name}.yaml"
    try:
        entry = CatalogEntry.model_validate(parse_yaml(path.read_bytes(), str(path), AcquireError))
    except OSError as error:
        raise AcquireError(f"cannot read {path}: {error.strerror}.") from error
    except ValidationError as error:
        problems = "; ".join(_explain(problem) for problem in error.errors())
        raise AcquireError(f"{path}: {problems}.") from error
    if entry.name != name:
        raise AcquireError(f"{path} is named {entry.name} inside; give both one name.")
    return entry


def describe_entry(name: str) -> Description | None:
    """An entry, for `facerec inspect`."""
    if name not in entry_names():
        return None
    entry = load_entry(name)
    facts = {
        "title": entry.title,
        "holds": entry.kind,
        "files": [file.name for file in entry.files] or "rendered",
        "counts": entry.counts.model_dump(exclude_none=True),
        "licence": entry.licence,
        "terms": entry.terms,
        "homepage": entry.homepage,
        "get_it": f"facerec download {name} OUT",
    }
    return Description("catalog entry", {key: value for key, value in facts.items() if value})


def is_rendered(dataset: str) -> bool:
    """Whether the set `dataset`, as shards name it, is known to be rendered, so its people do not exist.

    A member of a pack ("synth_pack/lfw") counts as its pack. A set without an entry, or any set where there is no
    catalog, is not known to be rendered.
    """
    name = dataset.split("/")[0]
    try:
        return name in entry_names() and load_entry(name).generator is not None
    except AcquireError:
        return False


def _explain(problem: Any) -> str:
    key = ".".join(map(str, problem["loc"])) or "the entry"
    return f"{key}: {problem['msg'].removeprefix('Value error, ')}"
