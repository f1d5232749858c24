"""Names that attack a terminal, a table, a figure or a page, through every command that shows them."""

from __future__ import annotations

import html
import io
import json
import os
import re
import sys
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from facerec.cli import common
from facerec.core import FacerecError, note, progress, shown, visible
from facerec.imaging import sheets
from facerec.reporting import figures, formatting, report
from facerec.store import pairs
from tests import commands, recognition

pytestmark = pytest.mark.attack(
    "Names", "`[red]`, escape characters, HTML, line breaks, text from right to left", "shown as text"
)

PEOPLE = (
    "[",
    "[red]",
    "[/]",
    "\x1b[31m",
    "<img src=x onerror=alert(1)>",
    "| a | b |",
    "$x_1$",
    "a\nb",
    "\u202eevil",
    "`",
)
PHOTO = "b] [bold]\x1b]0;owned\x07\n\u202e$y$.jpg"
HIDDEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def run(*words: str | Path, cwd: Path, fails: bool | None = False) -> CompletedProcess[str]:
    """A command; nothing it writes may control a terminal, and no traceback may come."""
    done = commands.run(*words, cwd=cwd, FACEREC_CATALOG=str(cwd / "catalog"), FACEREC_DEVICE="cpu", COLUMNS="400")
    told = done.stderr + done.stdout
    assert "Traceback" not in told, told
    assert HIDDEN.search(told) is None, ascii(told)
    assert fails is None or (done.returncode != 0) == fails, told
    return done


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of people with such names, and an untrained network."""
    folder = tmp_path_factory.mktemp("names")
    for number, person in enumerate(PEOPLE):
        for photo in (PHOTO, "second.jpg"):
            path = folder / "people" / person.replace("/", "") / photo
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(recognition.photo(("ann", "bob", "eve")[number % 3], roll=float(number)))
    recognition.save_model(folder / "model.pt")
    return folder


def test_detect(world: Path) -> None:
    told = run("detect", "people", "--draw", "drawn", cwd=world).stderr
    for name in ("[/", "[red]/b] [bold]", r"\x1b[31m/", "<img src=x", "$x_1$", r"a\nb", r"\u202eevil"):
        assert name in told
    found = json.loads(run("detect", "people", "--json", cwd=world).stdout)
    assert f"[red]/{PHOTO}" in {each["photo"] for each in found["photos"]}


def test_align_and_what_follows(world: Path) -> None:
    run("align", "people", "faces", "--sheet", "faces.png", cwd=world)
    told = run("inspect", "faces", cwd=world).stderr
    assert "20" in told
    run("inspect", "people", "--sheet", "people.png", cwd=world)
    run("export", "faces", "files", cwd=world)
    run("embed", "model.pt", "faces", "E.npy", cwd=world)
    number = np.arange(20)
    same = number % 2 == 0
    pairs.write_pairs(pairs.Pairs(number, np.where(same, number ^ 1, (number + 4) % 20), same), world / "pairs.parquet")
    run("verify", "E.npy", "pairs.parquet", "--bootstrap", "10", cwd=world)


def test_enroll_compare_and_search(world: Path) -> None:
    told = run("enroll", "[g].parquet", "people", "--model", "model.pt", cwd=world).stderr
    assert "[g].parquet" in told
    photo = f"people/[red]/{PHOTO}"
    told = run("search", "[g].parquet", photo, "--model", "model.pt", "--picture", "s.svg", cwd=world).stderr
    assert "[red]" in told
    assert r"\x1b]0;owned" in told
    told = run("compare", photo, "people/$x_1$/second.jpg", "--model", "model.pt", "--picture", "c.svg", cwd=world)
    assert "[red]/b] [bold]" in told.stderr
    told = run("enroll", "[g].parquet", "--remove", "[red]", cwd=world).stderr
    assert "forgotten [red]" in told


@pytest.mark.parametrize("command", [["detect"], ["align", "{}", "out"], ["inspect"], ["search", "{}", "x.jpg"]])
@pytest.mark.parametrize("name", ["[/]no\x1b[31m", "a\nb", "\u202eevil"])
def test_errors_quote_names(tmp_path: Path, command: list[str], name: str) -> None:
    first, *others = command
    run(first, *([word.format(name) for word in others] or [name]), cwd=tmp_path, fails=True)


def test_photos_of_one_s_own(world: Path) -> None:
    (world / "catalog").mkdir()
    told = run("add", "people", "mine", cwd=world, fails=True).stderr
    assert "has a name with a TAB, a line break or a space at its end; rename it" in told
    for number, person in enumerate(sorted((world / "people").iterdir())):
        for photo in sorted(person.iterdir()):
            path = world / "renamed" / f"{number} {person.name}".replace("\n", " ") / photo.name.replace("\n", " ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(photo.read_bytes())
    told = run("add", "renamed", "mine", "--max-pairs", "20", "--json", cwd=world).stdout
    assert json.loads(told)["identities"] == len(PEOPLE)
    run("catalog", "mine", cwd=world)
    run("inspect", "catalog/mine.yaml", cwd=world, fails=None)


@pytest.mark.attack("Names", "names that are no UTF-8", "one sentence")
@pytest.mark.parametrize("command", [["detect"], ["align", "OUT"], ["enroll", "--model"], ["add", "mine"], ["inspect"]])
def test_a_name_that_is_no_utf8(world: Path, tmp_path: Path, command: list[str]) -> None:
    person = tmp_path / os.fsdecode(b"photos/b\xffd")
    person.mkdir(parents=True)
    (person / "1.jpg").write_bytes(recognition.photo("ann"))
    first, *others = command
    words = (
        [first, "g.parquet", "photos", *others, world / "model.pt"] if first == "enroll" else [first, "photos", *others]
    )
    (tmp_path / "catalog").mkdir()
    done = run(*words, cwd=tmp_path, fails=True)
    assert r"the name of its file b\xffd/1.jpg is no UTF-8; rename it" in done.stderr


def test_entries_of_the_catalog(tmp_path: Path) -> None:
    texts = {"title": "[red]\x1b[31m\u202e|<b>", "licence": "[/]", "homepage": "[x](y)", "terms": "a\nb\x1b[2J"}
    entry = {"name": "own", "kind": "photos", "files": [{"name": "b.tgz", "use": "photos"}], "manual": "[/]", **texts}
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog/own.yaml").write_text(yaml.safe_dump(entry))
    for words in (["catalog"], ["catalog", "own"]):
        done = run(*words, cwd=tmp_path)
        assert r"[red]\x1b[31m\u202e|<b>" in done.stderr, done.stderr


@given(st.text())
def test_shown_text_is_one_line_without_hidden_characters(text: str) -> None:
    line = shown(text, 50)
    assert len(line) <= 50
    assert len(line.splitlines()) <= 1
    assert HIDDEN.search(line) is None
    line.encode()
    assert shown(line, 50) == line
    assert "\n" not in str(FacerecError(text))


def test_other_languages_stay_as_they_are() -> None:
    for text in ("Zoë Ångström", "李小龙", "\u0645\u06cc\u200c\u062e", "a\u00a0b", "👩\u200d💻"):
        assert shown(text) == text


def test_bytes_that_are_no_utf8_are_named() -> None:
    assert shown(os.fsdecode(b"a\xff\xfe")) == r"a\xff\xfe"


def test_tables_and_notes(capfd: pytest.CaptureFixture[str]) -> None:
    common.report("[a]\x1b[1m", {"[/b]\n": ":smile: [red]x\x07", "c": "one\ntwo"})
    note("three\nfour\x1b[2J")
    told = capfd.readouterr().err
    assert HIDDEN.search(told) is None
    for text in (r"[a]\x1b[1m", r"[/b]\n", r":smile: [red]x\x07", "note: three four\\x1b[2J\n"):
        assert text in told


@pytest.mark.parametrize("name", ["$x_1$", "_hidden", r"\$a$", "a$b$c\x1b\x00", "$\\frac{", "[/]", "<b>&"])
def test_labels_of_figures_are_text(name: str) -> None:
    curve = [{"fpr": 0.1, "tpr": 0.5, "lo": 0.4, "hi": 0.6}, {"fpr": 1.0, "tpr": 1.0, "lo": 1.0, "hi": 1.0}]
    figure = figures.roc_figure({name: curve}, title=name)
    shown_in_legend = [text.get_text().strip() for text in _legend(figure)]
    assert shown_in_legend[0].replace(r"\$", "$") == shown(name)
    svg = figures.render_figure(figure).decode()
    assert re.search(f"> ?{re.escape(html.escape(shown(name), quote=False))}<", svg)


def _legend(figure: Figure) -> list[object]:
    return list(figure.legends[0].get_texts())


def test_captions_of_sheets() -> None:
    for name in (*PEOPLE, PHOTO, "b\udcffd", "x\x00y"):
        strip = sheets.title_strip(name)
        np.testing.assert_array_equal(strip, sheets.title_strip(visible(name).replace("\n", r"\n")))
        sheets.contact_sheet([np.zeros((20, 20, 3), np.uint8)], 1, labels=[name])


def test_a_block_of_yaml_holds_its_text() -> None:
    text = formatting.yaml_block({"a": "x\n\n```\n<img src=x>\n# title\n"})
    page = report.markdown_to_html(f"{text}\n\nafter")
    assert "<img" not in page
    assert "<h3>" not in page
    assert page.count("<pre>") == 1
    assert "<p>after</p>" in page


def test_the_page_shows_names_as_text() -> None:
    template = report._page_template().environment.from_string('<b title="{{ name }}">{{ name }}</b>')
    page = template.render(name='"><script>alert(1)</script>\x1b[31m\u202e')
    text = r"&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\x1b[31m\u202e"
    assert page == f'<b title="{text}">{text}</b>'


@pytest.mark.parametrize("kind", ["terminal", "log"])
def test_progress_shows_descriptions_as_text(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setattr(progress, "_FIRST", 0.0)
    if kind == "terminal":
        monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    assert list(progress.track([1, 2], "[red]a\x1b]0;x\x07\n[/b]:smile:")) == [1, 2]
    assert r"[red]a\x1b]0;x\x07\n[/b]:smile:" in written.getvalue()
    assert "\x07" not in written.getvalue()
