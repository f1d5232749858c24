"""pyproject.toml names what the code imports, and every extra that something else names."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

from packaging.requirements import Requirement

from facerec.core.console import EXTRAS
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"facerec", "stages", "synthfaces"}
PARTS = {"dvc_data": "dvc", "markupsafe": "jinja2", "pydantic_core": "pydantic"}
"""Modules that a package cannot do without -> that package."""


def distributions(requirements: list[str]) -> set[str]:
    return {Requirement(requirement).name.lower() for requirement in requirements}


def imported() -> set[str]:
    """Top-level modules of others that the code imports anywhere."""
    found: set[str] = set()
    for folder in OURS:
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found.add(node.module.partition(".")[0])
    return found - OURS - set(sys.stdlib_module_names)


def test_an_extra_brings_each_module_that_is_not_always_there() -> None:
    assert {module: extra for module, extra in EXTRAS.items() if extra not in PROJECT["optional-dependencies"]} == {}


def test_extras_name_extras_that_exist() -> None:
    extras = PROJECT["optional-dependencies"]
    named = {extra for requirements in extras.values() for text in requirements for extra in own_extras(text)}
    documented = set(
        re.findall(r"[\w-]+", " ".join(re.findall(r"`\[(.*?)\]`", (ROOT / "docs/installing.md").read_text())))
    )
    assert (named | documented) - extras.keys() == set()


def own_extras(requirement: str) -> set[str]:
    parsed = Requirement(requirement)
    return parsed.extras if parsed.name == "facerec" else set()


def test_every_module_of_others_is_a_requirement() -> None:
    """One that another requirement brings along today may be gone with its next release."""
    always = distributions(PROJECT["dependencies"])
    brought = packages_distributions()
    missing = []
    for module in sorted(imported()):
        whole = PARTS.get(module, module)
        extra = PROJECT["optional-dependencies"].get(EXTRAS.get(whole), [])
        names = {name.lower() for name in [whole, *brought.get(module, [])]}
        if not names & (always | distributions(extra)):
            missing.append(module)
    assert missing == []
