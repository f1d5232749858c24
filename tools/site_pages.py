"""What the site has beside docs/: README.md and the other pages of the root, the API from docstrings, and the notebook.

A hook of MkDocs, see mkdocs.yml. The pages of docs/ are read on GitHub too, so their links stay as they are there and are
rewritten here.
"""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path
from typing import Any

import facerec

ROOT = Path(facerec.__file__).parent.parent
ADDED = {
    "index.md": "README.md",
    "overview.md": "docs/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
}
"""Page of the site -> file of the repository."""
NOTEBOOK = "docs/photos_to_roc.ipynb"
_TARGETS = {source: page for page, source in ADDED.items()} | {NOTEBOOK: "photos_to_roc.md"}
_LINK = re.compile(r"""(\]\(|src=")(?!https?:|#)([^)#"\s]+)""")


def on_config(config: Any) -> Any:
    """Add a page for each package of the library to the navigation."""
    packages = [each.parent.name for each in sorted((ROOT / "facerec").glob("*/__init__.py"))]
    config.nav.append({"API": ["api/index.md", *(f"api/{name}.md" for name in packages)]})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that do not lie in docs/ and those made here."""
    from mkdocs.structure.files import File

    files.remove(files.get_file_from_path("README.md"))
    files.remove(files.get_file_from_path(Path(NOTEBOOK).name))
    texts = {page: site_links((ROOT / source).read_text(encoding="utf-8"), source) for page, source in ADDED.items()}
    texts |= {"api/index.md": public_names(), "photos_to_roc.md": read_notebook(files, config)}
    texts |= {page: package_page(page) for page in config.nav[-1]["API"][1:]}
    for page, text in texts.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with links to files above docs/ led to their pages of the site."""
    written = page.file.src_uri not in ADDED and (ROOT / "docs" / page.file.src_uri).is_file()
    return site_links(markdown, f"docs/{page.file.src_uri}") if written else markdown


def site_links(text: str, source: str) -> str:
    """The links in `text`, which stands in the file `source` of the repository, as the site needs them.

    >>> site_links("[a](../README.md#x), [b](dvc.md)", "docs/using.md")
    '[a](index.md#x), [b](dvc.md)'
    >>> site_links('[a](docs/README.md), <img src="docs/images/a.png">', "README.md")
    '[a](overview.md), <img src="images/a.png">'
    """
    folder = Path(source).parent

    def rewritten(link: re.Match[str]) -> str:
        target = (ROOT / folder / link[2]).resolve().relative_to(ROOT).as_posix()
        return link[1] + _TARGETS.get(target, target.removeprefix("docs/"))

    return _LINK.sub(rewritten, text)


def public_names() -> str:
    """The page of the public names, each by the function or class it stands for."""
    text = "# The Python API\n\nThe public names; `import facerec` imports each when it is first used.\n"
    for name in sorted(facerec.__all__):
        found = getattr(facerec, name)
        place = f"{found.__module__}.{found.__qualname__}"
        options = "    options: {show_root_heading: false, show_root_toc_entry: false}\n"
        text += f"\n## `facerec.{name}`\n\n::: {place}\n{options}"
    return text


def package_page(page: str) -> str:
    """The page of a package of the library: what it says of itself, then each of its modules."""
    name = Path(page).stem
    inner = sorted(each.name for each in pkgutil.walk_packages([str(ROOT / "facerec" / name)], f"facerec.{name}."))
    text = f"# facerec.{name}\n\n::: facerec.{name}\n    options: {{members: false, show_root_heading: false}}\n"
    return text + "".join(f"\n::: {module}\n" for module in inner)


def read_notebook(files: Any, config: Any) -> str:
    """The notebook as Markdown; its pictures become files of the site."""
    from mkdocs.structure.files import File
    from nbconvert import MarkdownExporter

    text, resources = MarkdownExporter().from_filename(ROOT / NOTEBOOK)
    for name, data in resources["outputs"].items():
        files.append(File.generated(config, name, content=data))
    return site_links(text, NOTEBOOK)
