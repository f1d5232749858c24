"""Adds the files that an experiment starts from to the package, as facerec/_experiment/; all else is in pyproject.toml.

In the repository they stay where they are, and an editable installation finds them there.
"""

import shutil
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


setup(cmdclass={"build_py": BuildWithExperiment})
