"""The site of the documentation: links that hold on GitHub and there, and the notebook. CI builds it with `make site`."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.conftest import ROOT
from tools import site_pages


@pytest.mark.parametrize(
    ("text", "source", "expected"),
    [
        ("[a](../README.md#real-photos)", "docs/using.md", "[a](index.md#real-photos)"),
        ("[a](README.md), [b](dvc.md#x)", "docs/using.md", "[a](overview.md), [b](dvc.md#x)"),
        ("[a](photos_to_roc.ipynb)", "docs/README.md", "[a](photos_to_roc.md)"),
        ("[a](docs/README.md) ![b](docs/images/roc.png)", "README.md", "[a](overview.md) ![b](images/roc.png)"),
        ('<img src="docs/images/a.png">', "README.md", '<img src="images/a.png">'),
        ("[a](#x) [b](https://example.org/docs/x)", "README.md", "[a](#x) [b](https://example.org/docs/x)"),
    ],
)
def test_links_are_led_to_pages_of_the_site(text: str, source: str, expected: str) -> None:
    assert site_pages.site_links(text, source) == expected


def test_every_public_name_is_on_the_page_of_the_api() -> None:
    import facerec

    text = site_pages.public_names()
    assert [f"facerec.{name}" for name in sorted(facerec.__all__)] == re.findall(r"^## `(.*)`$", text, re.MULTILINE)
    assert "::: facerec.evaluation.verification.cross_validation.evaluate\n" in text


def test_a_package_has_all_its_modules_on_its_page() -> None:
    text = site_pages.package_page("api/heads.md")
    assert re.findall(r"^::: facerec\.heads(.*)$", text, re.MULTILINE)[:3] == ["", ".base", ".chunked"]


def texts(notebook: Any) -> list[str]:
    """What the cells print, in order."""
    shown = [each for cell in notebook["cells"] for each in cell.get("outputs", [])]
    found = [each.get("text") or each.get("data", {}).get("text/plain", "") for each in shown]
    return ["".join(text) for text in found]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the kernel
def test_the_notebook_prints_what_it_shows() -> None:
    from tools.notebook import run_notebook

    committed = json.loads((ROOT / site_pages.NOTEBOOK).read_text())
    assert any("accuracy" in text for text in texts(committed))
    assert texts(run_notebook()) == texts(committed)
