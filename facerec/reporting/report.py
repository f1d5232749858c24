"""The report of a run: its page, and the cards of its networks and data sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from facerec.catalog.entries import CatalogEntry
from facerec.core import atomic_dir, write_text
from facerec.params import Params
from facerec.reporting import cards, formatting, page, run_figures, sections, tables
from facerec.reporting.page import Card, Fold, PagePicture, Section
from facerec.reporting.summary import Sources, collect_metrics, load_metrics

TITLE = "Face recognition report"
SYNTHETIC = (
    "Measured on rendered faces: nobody in them exists. This shows that the pipeline works and how runs compare. "
    "It is no evidence about real faces."
)


@dataclass(frozen=True)
class RunReport:
    """A run and what its report is made of.

    Attributes:
        sources: parameters, metrics, curves and scores.
        figures: directory of the figures that `plotting.write` drew.
        sheets: directory of the pictures of faces, photos and pairs.
        entries: the catalogue entries of every set of the run.
    """

    sources: Sources
    figures: Path
    sheets: Path
    entries: Mapping[str, CatalogEntry]

    def write(self, out: Path, provenance: Section) -> None:
        """Write cards/ and then index.html into directory `out`."""
        with atomic_dir(out / "cards") as folder:
            for kind, documents in (("models", self.model_cards), ("data", self.data_cards)):
                for name, text in documents.items():
                    write_text(folder / kind / f"{name}.md", text)
        write_text(out / "index.html", self.page(provenance))

    def page(self, provenance: Section) -> str:
        """The page as HTML; all but the section `provenance` is the same for the same results."""
        charts: dict[str, list[PagePicture]] = {}
        for plot in run_figures.plan_figures(self.sources, self.found):
            picture = PagePicture(plot.caption, self.figures / f"{plot.name}.svg")
            charts.setdefault(plot.section, []).append(picture)
        details = {
            name: load_metrics(self._scores(name) / "details.json") for name in self._params.benchmarks
        }
        differences = {name: facts["max_difference"] for name, facts in self._exported.items()}
        parameters = formatting.as_yaml(self._params.model_dump(mode="json"))
        parts = [
            sections.verification(self.found, details, charts, self._pairs()),
            sections.identification(self.found, charts),
            sections.training(self.found, differences, charts),
            sections.faces(self.found, self._sheets()),
            sections.cards(self._folded()),
            sections.parameters(parameters),
            provenance,
        ]
        return page.render_page(TITLE, self._lead, self._note, sections.numbers(self.found), parts)

    @cached_property
    def found(self) -> dict[str, Any]:
        """All metrics of the run."""
        return collect_metrics(self.sources)

    @cached_property
    def model_cards(self) -> dict[str, str]:
        """The card of each network that was trained, and of each that was downloaded, by name."""
        trained = {name: self._trained(name, facts) for name, facts in self._exported.items()}
        return trained | {
            name: cards.render_data_card(
                entry,
                self._params,
                self.found,
                self._results(f"data/raw/{name}") if entry.kind == "model" else "",
            )
            for name, entry in self.entries.items()
            if entry.kind in ("model", "weights")
        }

    @cached_property
    def data_cards(self) -> dict[str, str]:
        """The card of each data set, by name."""
        return {
            name: cards.render_data_card(entry, self._params, self.found)
            for name, entry in self.entries.items()
            if entry.kind not in ("model", "weights")
        }

    @property
    def _params(self) -> Params:
        return self.sources.params

    @property
    def _lead(self) -> str:
        params = self._params
        judged = f"verification by the protocol {params.verify.protocol}" if params.benchmarks else ""
        said = [
            f"Network {params.model}",
            f"faces found by {params.detect.detector}" * bool(params.photos),
            judged,
        ]
        return ", ".join(filter(None, said)) + "."

    @property
    def _note(self) -> str:
        tested = [self._entry(each.faces) for each in self._params.benchmarks.values()]
        tested += [self._entry(each.probes) for each in self._params.identification.values()]
        return SYNTHETIC if any(entry.generator for entry in tested) else ""

    @cached_property
    def _exported(self) -> dict[str, Any]:
        """What the stage export knows of each network that was trained."""
        return {
            name: load_metrics(self.sources.metrics / f"export/{name}.json") for name in self._params.networks
        }

    def _scores(self, name: str) -> Path:
        return self.sources.scores / name

    def _entry(self, faces: str) -> CatalogEntry:
        """The entry that a face set comes from: that of a pack for its members."""
        return self.entries[faces.split("/")[0]]

    def _pairs(self) -> dict[str, PagePicture | None]:
        """Benchmark -> its pairs at the edge of the threshold, None where its people may not be shown."""
        return {
            name: PagePicture(_PAIRS, self.sheets / f"pairs/{name}.jpg")
            if self._entry(each.faces).shown
            else None
            for name, each in self._params.benchmarks.items()
        }

    def _sheets(self) -> dict[str, Sequence[PagePicture] | None]:
        """Photo set -> its sheets, None where its people may not be shown."""
        kinds = {"photos": _PHOTOS, "faces": _FACES}
        return {
            name: [
                PagePicture(caption, self.sheets / kind / f"{name}.jpg") for kind, caption in kinds.items()
            ]
            if self.entries[name].shown
            else None
            for name in self._params.photos
        }

    def _folded(self) -> Iterator[Fold]:
        for kind, documents in (("Model", self.model_cards), ("Data", self.data_cards)):
            for name, text in documents.items():
                yield Fold(f"{kind} card: {name}", [Card(text)])

    def _trained(self, name: str, known: Mapping[str, Any]) -> str:
        entries = [self.entries[each] for each in self._params.training_sets]
        return cards.render_model_card(
            name,
            known,
            self.found["train"][name],
            self._params.train.model_dump(mode="json"),
            [f"{entry.name}: {entry.title} ({entry.licence})" for entry in entries],
            self._results(f"models/{name}"),
            rendered=all(entry.generator for entry in entries),
        )

    def _results(self, model: str) -> str:
        """Markdown of what was measured, if it was this model (a path, with or without its suffix)."""
        measured, best = self._params.model, f"{model}_best.pt"
        if measured not in (model, f"{model}.pt", f"{model}.onnx", best):
            return "Not measured in this run, which measures another network."
        said = (
            [f"Of {Path(best).name}, the weights that were best while it trained."]
            if measured == best
            else []
        )
        for group, make in (
            ("verification", tables.verification_table),
            ("identification", tables.identification_table),
        ):
            if self.found.get(group):
                table = make(self.found)
                rows = ([formatting.escape_markdown(cell) for cell in row] for row in table.rows)
                said += [formatting.markdown_table(table.header, rows), table.note]
        return "\n\n".join(said) or "Nothing was measured in this run."


_PAIRS = (
    "Errors nearest the threshold, then the same person farthest apart and different people closest. Under a pair stand "
    "its distance and the threshold of its fold."
)
_PHOTOS = "White: found by the detector; green: the face that was taken, shown as aligned beside its photo."
_FACES = "Faces as aligned, with the detector's score or the distance of the landmarks from the template."
