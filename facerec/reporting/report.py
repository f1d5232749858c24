"""The report of a run: its page, and the cards of its networks and data sets.

The page is one self-contained HTML file, readable on a phone, a wide screen and paper. Its text stands in
templates/page.html, which escapes every value; figures and sheets are embedded. Equal runs give the same bytes: what
differs between them, its provenance, is in a file beside it, which a short script shows.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from facerec.catalog.entries import CatalogEntry, load_entry
from facerec.core import FormatError, atomic_dir, sha256_of_bytes, visible, write_text
from facerec.reporting import cards, formatting, tables
from facerec.reporting.slice_tables import slice_tables
from facerec.reporting.summary import Sources, collect_metrics, load_metrics

if TYPE_CHECKING:
    from facerec.reporting.provenance import Provenance

SYNTHETIC = (
    "Measured on rendered faces of people who do not exist. This shows that the pipeline works and how runs compare. "
    "It is no evidence about real faces."
)
_SECTIONS = {
    "verification": "verification",
    "identification": "identification",
    "openset": "openset",
    "training": "train",
    "faces": "align",
}
"""Section of the page -> the group of metrics without which it is left out."""
_RATE = re.compile(r"(?:TAR at FAR )?\b\d+(?:\.\d+)?e-\d+")
_PICTURES = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg"}


@dataclass(frozen=True)
class RunReport:
    """A run and all that its report is made of.

    Attributes:
        sources: parameters, metrics, curves and scores.
        figures: directory that `facerec.reporting.run_figures.write_figures` wrote.
        sheets: directory of the contact sheets of photos, faces and pairs.
        entries: the catalog entries of every set of the run.
    """

    sources: Sources
    figures: Path
    sheets: Path
    entries: Mapping[str, CatalogEntry]

    @classmethod
    def of_run(cls, sources: Sources, figures: Path, sheets: Path) -> RunReport:
        """The report with the entries of the catalog for every set of the run."""
        return cls(sources, figures, sheets, {name: load_entry(name) for name in sources.params.entries})

    def write(self, out: Path, provenance: Provenance) -> None:
        """Write cards/, provenance/KEY.js and then index.html into directory `out`."""
        with atomic_dir(out / "cards") as folder:
            for kind, documents in (("models", self.model_cards), ("data", self.data_cards)):
                for name, text in documents.items():
                    write_text(folder / kind / f"{name}.md", visible(text))
        key = sha256_of_bytes(self.page().encode())[:16]
        write_text(out / f"provenance/{key}.js", provenance.script())
        write_text(out / "index.html", self.page(key))

    def page(self, key: str = "") -> str:
        """The page as HTML, the same for the same results.

        It shows the file provenance/KEY.js beside it. `write` makes the key of the page's own content, so that a page
        never shows the provenance of another one.
        """
        shown, run = [name for name, group in _SECTIONS.items() if self.found.get(group)], self.sources.params
        unused = {key for key in ("attributes", "quality", "openset") if not getattr(run, key)}
        kinds = {"Model": self.model_cards, "Data": self.data_cards}
        documents = {f"{kind} card: {name}": text for kind, texts in kinds.items() for name, text in texts.items()}
        return _page_template().render(
            run=run,
            note=SYNTHETIC if self._measured_on_rendered_faces() else "",
            sections=[*shown, *(["cards"] if documents else []), "parameters", "provenance"],
            numbers=tables.headline_numbers(self.found),
            tables=self._tables(),
            folds=tables.note_on_folds(self.found),
            figures=self._figures(),
            pairs={name: self._shown(each.faces) for name, each in run.benchmarks.items()},
            photos={name: self._shown(name) for name in run.photos},
            sheets=self.sheets,
            cards=documents,
            slices=[table for name, each in self.found.get("slices", {}).items() for table in slice_tables(name, each)],
            parameters=formatting.as_yaml(run.model_dump(mode="json", exclude=unused)),
            key=key,
        )

    @cached_property
    def found(self) -> dict[str, Any]:
        """All metrics of the run."""
        return collect_metrics(self.sources)

    @cached_property
    def model_cards(self) -> dict[str, str]:
        """The card of each network that was trained, and of each that was downloaded, by name."""
        made = {name: self._model_card(name, export) for name, export in self._exports.items()}
        for name, entry in self.entries.items():
            if _is_model(entry):
                results = self._results(f"data/raw/{name}") if entry.kind == "model" else ""
                made[name] = cards.render_data_card(entry, self.sources.params, self.found, results)
        return made

    @cached_property
    def data_cards(self) -> dict[str, str]:
        """The card of each data set, by name."""
        sets = {name: entry for name, entry in self.entries.items() if not _is_model(entry)}
        return {name: cards.render_data_card(each, self.sources.params, self.found) for name, each in sets.items()}

    @cached_property
    def _exports(self) -> dict[str, Any]:
        """Metrics of the stage export by network."""
        exports = self.sources.metrics / "export"
        return {name: load_metrics(exports / f"{name}.json") for name in self.sources.params.networks}

    def _entry(self, faces: str) -> CatalogEntry:
        """The catalog entry of a face set, or of the pack it is a member of."""
        return self.entries[faces.split("/")[0]]

    def _shown(self, faces: str) -> bool:
        """Whether the people in a face set may be shown."""
        return self._entry(faces).shown

    def _measured_on_rendered_faces(self) -> bool:
        tested = [each.faces for each in self.sources.params.benchmarks.values()]
        tested += [each.probes for each in self.sources.params.identification.values()]
        return any(self._entry(faces).generator for faces in tested)

    def _tables(self) -> dict[str, formatting.Table]:
        scores = self.sources.scores
        details = {name: load_metrics(scores / name / "details.json") for name in self.sources.params.benchmarks}
        return {
            "verification": tables.verification_table(self.found),
            "rates": tables.rates_table(details),
            "identification": tables.identification_table(self.found),
            "noise": tables.noise_table(self.found),
            "openset": tables.openset_table(self.found),
            "training": tables.training_table(self.found),
            "alignment": tables.alignment_table(self.found),
        }

    def _figures(self) -> dict[str, dict[str, Path]]:
        """Section -> caption -> file of each figure that the stage plots drew."""
        found: dict[str, dict[str, Path]] = {section: {} for section in _SECTIONS}
        for figure in load_metrics(self.figures / "index.json"):
            found[figure["section"]][figure["caption"]] = self.figures / f"{figure['name']}.svg"
        return found

    def _model_card(self, name: str, export: Mapping[str, Any]) -> str:
        entries = [self.entries[each] for each in self.sources.params.training_sets]
        return cards.render_model_card(
            name,
            export,
            self.found["train"][name],
            self.sources.params.train.model_dump(mode="json"),
            [f"{entry.name}: {entry.title} ({entry.licence})" for entry in entries],
            self._results(f"models/{name}"),
            rendered=all(entry.generator for entry in entries),
        )

    def _results(self, model: str) -> str:
        """Markdown of the benchmarks, if they measured this model (a path, with or without its suffix)."""
        measured, best = self.sources.params.model, f"{model}_best.pt"
        if measured not in (model, f"{model}.pt", f"{model}.onnx", best):
            return "Not measured in this run, which measures another network."
        parts = [f"Of {Path(best).name}, the weights that were best while it trained."] if measured == best else []
        if self.found.get("verification"):
            parts.append(tables.verification_table(self.found).markdown())
        if self.found.get("identification"):
            parts.append(tables.identification_table(self.found).markdown())
        if self.found.get("openset"):
            parts.append(tables.openset_table(self.found).markdown())
        return "\n\n".join(parts) or "Nothing was measured in this run."


def _is_model(entry: CatalogEntry) -> bool:
    return entry.kind in ("model", "weights")


def _page_template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: _on_one_line(value) if type(value) is str else value,
    )
    environment.filters |= {"embedded": embed_picture, "markdown": markdown_to_html, "unbroken": keep_rates_whole}
    return environment.get_template("page.html")


def _on_one_line(text: str) -> str:
    """Visible text whose percent signs stay on the lines of their numbers."""
    return visible(text).replace(" %", "\u00a0%")


def keep_rates_whole(text: str) -> Markup:
    """Text as HTML in which no line ends within a rate.

    >>> keep_rates_whole("TAR at FAR 1e-3 & more")
    Markup('<span class="unbroken">TAR at FAR 1e-3</span> &amp; more')
    """
    return Markup(_RATE.sub(r'<span class="unbroken">\g<0></span>', str(escape(_on_one_line(text)))))


def embed_picture(path: Path) -> Markup:
    """A .svg, .png or .jpg file as an address that holds it; FormatError for any other file."""
    if path.suffix not in _PICTURES:
        raise FormatError(f"The page cannot show {path.name}; give it {', '.join(_PICTURES)}.")
    encoded = base64.b64encode(path.read_bytes()).decode("ascii")
    return Markup(f"data:{_PICTURES[path.suffix]};base64,{encoded}")


def markdown_to_html(text: str) -> Markup:
    """A Markdown document as HTML, headings two levels down; HTML and pictures in it are shown as text."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = parser.parse(visible(text))
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{int(token.tag[1]) + 2}"
    return Markup(parser.renderer.render(tokens, parser.options, {}))
