"""Adds the files that an experiment starts from to the package, as facerec/_experiment/; all else is in pyproject.toml.

In the repository they stay where they are, and an editable installation finds them there. README.md becomes the
description, which is read away from the repository.
"""

import re
import shutil
import tomllib
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class BuildWithExperiment(build_py):
    """build_py that copies the files named in facerec/repository/files.txt too."""

    def run(self) -> None:
        """Build the modules, then copy."""
        super().run()
        if not self.editable_mode:
            for path, target in self._copies():
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """What `run` writes."""
        return [*super().get_outputs(include_bytecode), *(target for _, target in self._copies())]

    def get_source_files(self) -> list[str]:
        """What belongs into a source distribution."""
        return [*super().get_source_files(), *(path.relative_to(ROOT).as_posix() for path, _ in self._copies())]

    def _copies(self) -> list[tuple[Path, str]]:
        patterns = (ROOT / "facerec/repository/files.txt").read_text(encoding="utf-8").split()
        paths = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
        folder = Path(self.build_lib) / "facerec/_experiment"
        return [(path, str(folder / path.relative_to(ROOT))) for path in paths]


def describe(text: str, address: str | None) -> str:
    """README.md with links and pictures that hold anywhere.

    `address` is that of the repository on GitHub (Source of project.urls); without one, pictures and links that need it are
    left out, the text of the links stays.
    """
    if address is None:
        text = re.sub(r'!\[[^\]]*\]\((?!https?:)[^)]*\)|<img [^>]*src="(?!https?:)[^>]*>', "", text)
        return re.sub(r"\[([^\]]*)\]\((?!https?:|#)[^)]*\)", r"\1", text)
    text = re.sub(r'(!\[[^\]]*\]\(|<img [^>]*src=")(?!https?:)', rf"\g<1>{address}/raw/main/", text)
    return re.sub(r"((?<!!)\[[^\]]*\]\()(?!https?:|#)", rf"\g<1>{address}/blob/main/", text)


SOURCE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"].get("urls", {}).get("Source")

setup(
    cmdclass={"build_py": BuildWithExperiment},
    long_description=describe((ROOT / "README.md").read_text(encoding="utf-8"), SOURCE),
    long_description_content_type="text/markdown",
)
