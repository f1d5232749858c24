"""Networks and detectors by name, for use anywhere: downloaded once, checked, kept for the next time.

    place = networks.network_place("mobilefacenet_foamliu_pt")   # a folder that `facerec.embedding` opens

A name is one of the catalog or, for networks, an address on Hugging Face's hub (`facerec.catalog.hub`).

They are kept below the user's cache folder (FACEREC_CACHE, else facerec/ in XDG_CACHE_HOME or ~/.cache). Where data/raw/
of the current experiment has the entry, that copy is used.
"""

from __future__ import annotations

import os
from pathlib import Path

from facerec.catalog import entries, hub, sets
from facerec.core import ParamsError, local_setting, shipped

DEFAULT = "mobilefacenet_foamliu_pt"
"""The network that is used where nothing names one: of those whose licence does not forbid it, the best small one."""

SCORES = Path("data/catalog/scores")
"""Below `shipped()`: a folder for each entry, with its scores on the benchmark it was measured on."""


def is_listed(name: str, kind: str) -> bool:
    """Whether `name` is not a file here, but an entry of this kind ("model" or "weights")."""
    return not Path(name).exists() and name in entries.entry_names() and entries.load_entry(name).kind == kind


def network_place(name: str) -> Path:
    """The file or folder of a network: the path `name` itself, or the entry or hf:// address, downloaded first.

    Raises ParamsError where it is none of these, and AcquireError where it cannot be downloaded.
    """
    address = hub.HubAddress.parse(name)
    return _place(name, "model") if address is None else hub.hub_place(address, _cache())


def check_measured(model: str) -> None:
    """Raise ParamsError where `model` of params.yaml is data/raw/ENTRY of an entry that is no network for faces."""
    name = model.removeprefix("data/raw/")
    if name == model or name not in entries.entry_names():
        return
    found = entries.load_entry(name)
    if found.kind != "model":
        what = f"the weights of the detector {found.detector}" if found.detector else f"a set of kind {found.kind}"
        raise ParamsError(f"model is {model}, {what}; name a network, such as data/raw/{DEFAULT}.")


def weights_place(name: str) -> Path:
    """The file of a detector's weights, by its path or the name of its entry; raises as `network_place`."""
    found = _place(name, "weights")
    return found / entries.load_entry(name).files[0].name if found.name == name and found.is_dir() else found


def detector_of(name: str) -> tuple[str, str | None]:
    """(name of the detector, entry of its weights) for a detector, or for the entry of a detector's weights."""
    if name == "mtcnn" or not is_listed(name, "weights"):  # MTCNN needs no catalog
        return name, None
    return str(entries.load_entry(name).detector), name


def detector_files(name: str, weights: str | None) -> tuple[str, dict[str, str]]:
    """The detector of `detector_of(name)`, and the option `weights` with its file, where it has one.

    Without `weights` they are those of the catalog.
    Raises ParamsError for weights of a detector that takes none, and as `weights_place`.
    """
    detector, entry = detector_of(name)
    if weights and detector == "mtcnn":
        raise ParamsError(
            f"mtcnn has weights of its own and takes none; leave {weights} out, or name another detector."
        )
    found = weights or entry or _weights_of(detector)
    return detector, {"weights": str(weights_place(found))} if found else {}


def measured_detector(model: str) -> tuple[str, str | None]:
    """As `detector_of`, the detector that the model of this name was measured with; MTCNN where none is known."""
    return detector_of(entries.load_entry(model).detector or "mtcnn")


def licence_of(model: str) -> str:
    """Licence and terms of a model of the catalog; "" for any other."""
    if not is_listed(model, "model"):
        return ""
    entry = entries.load_entry(model)
    return f"{entry.licence.rstrip('.')}. {entry.terms}".strip()


def shipped_scores() -> Path:
    """The folder of the scores that come with the entries; each belongs to one network, whose digest it holds."""
    return shipped() / SCORES


def _weights_of(detector: str) -> str | None:
    """The entry of the weights that belong to a detector; None where there is none."""
    if detector == "mtcnn":
        return None
    every = map(entries.load_entry, entries.entry_names())
    return next((each.name for each in every if each.kind == "weights" and each.detector == detector), None)


def _place(name: str, kind: str) -> Path:
    if not is_listed(name, kind):
        if not Path(name).exists() and "/" not in name and "." not in name:
            known = [each for each in entries.entry_names() if entries.load_entry(each).kind == kind]
            raise ParamsError(f"{name} is neither a file nor a {kind} of the catalog, which has {', '.join(known)}.")
        return Path(name)
    here = Path("data/raw") / name
    if here.is_dir():
        return here
    entry, cache = entries.load_entry(name), _cache()
    if not (cache / name).is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        sets.acquire(entry, cache / name, downloads=cache / "downloads")
    return cache / name


def _cache() -> Path:
    named = local_setting("cache", "")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facerec"
