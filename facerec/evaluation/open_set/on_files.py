"""Open-set evaluation on files: from embeddings and the table beside them to the result record of a task.

The record is DIR/result.json, which the summary and the report read; details.json has every trial, curves.json the
curves with their bands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facerec.core import ParamsError, atomic_dir, write_json
from facerec.evaluation import doubts
from facerec.evaluation.open_set import protocols
from facerec.evaluation.open_set.result import OpenSetResult
from facerec.evaluation.open_set.trials import DIR_FARS, VR_FARS, find_protocol, open_set
from facerec.store.embeddings import Embeddings, read_embeddings


@dataclass(frozen=True)
class OpenSetOptions:
    """How a set is measured.

    Attributes:
        protocol: one of `facerec.evaluation.open_set.protocols.PROTOCOLS`.
        lists: folder with the lists of a published protocol; None for the usual places.
        fusion: "max" or "mean", for several photos of a person in the gallery.
        gallery: photos of each enrolled person in the protocol "drawn".
        trials, seed: of that protocol.
        vr_fars, dir_fars: false accept rates, the headline first.
    """

    protocol: str = "blufr"
    lists: Path | None = None
    fusion: str = "max"
    gallery: int = 1
    trials: int = 10
    seed: int = 1
    vr_fars: tuple[float, ...] = field(default=VR_FARS)
    dir_fars: tuple[float, ...] = field(default=DIR_FARS)


@dataclass(frozen=True)
class OpenSetRecord:
    """A result as it is written to result.json.

    Attributes:
        result: of `facerec.evaluation.open_set.open_set`.
        lengths: the least and greatest length of the embeddings as they were given.
        arithmetic: kind of machine that computed them, where known.
    """

    result: OpenSetResult
    lengths: tuple[float, float]
    arithmetic: str | None = None

    def metrics(self) -> dict[str, Any]:
        """Flat scalars, with `doubt` where there is one."""
        found = self.result.metrics() | ({"doubt": self.doubt} if self.doubt else {})
        return found | ({"arithmetic": self.arithmetic} if self.arithmetic else {})

    @property
    def doubt(self) -> str | None:
        """Why the numbers may say nothing, else None (`facerec.evaluation.doubts`)."""
        return "; ".join(doubts.doubts_of_open_set(self.result.metrics())) or None

    @property
    def notes(self) -> list[str]:
        """Sentences for people: that embeddings were normalised, which rates have too few impostors, the doubt."""
        least, greatest = self.lengths
        found = []
        if not 1 - 1e-3 < least <= greatest < 1 + 1e-3:
            found.append(
                f"the embeddings have lengths from {least:.3g} to {greatest:.3g}; they were brought to length 1, since the "
                "protocol compares directions"
            )
        if self.result.unsupported:
            found.append(f"too few impostors for {', '.join(self.result.unsupported)}, which are left out")
        return [*found, *([self.doubt] if self.doubt else [])]

    def curves(self) -> dict[str, Any]:
        """Curves as records for plots: DIR by FAR and VR by FAR, with the range of the trials."""
        return {"dir": self.result.dir_curve(), "vr": self.result.vr_curve()}

    def write(self, out: Path) -> None:
        """Write result.json, details.json and curves.json into directory `out`, which is replaced whole."""
        with atomic_dir(out) as folder:
            write_json(folder / "result.json", self.metrics())
            write_json(folder / "details.json", self.result.answer())
            write_json(folder / "curves.json", self.curves())


def measure_files(embedded: Path, options: OpenSetOptions) -> OpenSetRecord:
    """Run a protocol over the embeddings of NAME.npy; the table beside it names the rows.

    Raises:
        ParamsError: for options that do not fit, or a set that does not name the people that the protocol needs.
        FormatError: as `facerec.evaluation.open_set.open_set` does.
    """
    faces = read_embeddings(embedded)
    names, plan = _plan(faces, options, embedded)
    found = open_set(faces.matrix, names, plan, options.vr_fars, options.dir_fars, options.fusion)
    lengths = np.linalg.norm(faces.matrix.astype(np.float64), axis=1)
    known = lengths[np.isfinite(lengths) & (lengths > 0)]
    extremes = (float(known.min()), float(known.max())) if len(known) else (1.0, 1.0)
    return OpenSetRecord(found, extremes, faces.arithmetic)


def _plan(faces: Embeddings, options: OpenSetOptions, path: Path) -> tuple[list[str], protocols.OpenSetProtocol]:
    """The names by which rows are found, and the protocol."""
    if options.protocol in protocols.PUBLISHED:
        return faces.sources, protocols.load_protocol(options.protocol, options.lists)
    if "" in faces.identities:
        row = faces.identities.index("")
        raise ParamsError(
            f"{path} does not say who {faces.sources[row]} shows, which {options.protocol} needs; align the photos from "
            "folders named by people."
        )
    if options.protocol == "drawn":
        drawn = protocols.draw_protocol(faces.identities, options.trials, options.gallery, seed=options.seed)
        return faces.identities, drawn
    return faces.identities, find_protocol(options.protocol, faces.identities)
