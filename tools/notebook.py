"""Runs the notebook of docs/ and writes it with what its cells show: `python -m tools.notebook`, or `make notebook`.

Needs the extra [docs]. Progress is left out of what cells show, so equal runs give equal files.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

import nbformat
from nbclient import NotebookClient

from facerec.core import write_text
from tools.site_pages import NOTEBOOK, ROOT


def run_notebook() -> Any:
    """The notebook, run in an empty folder; raises CellExecutionError where a cell fails."""
    notebook = nbformat.read(ROOT / NOTEBOOK, as_version=4)
    os.environ["PYTHONPATH"] = str(ROOT)  # of its kernel
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        cell["metadata"].clear()  # when it ran
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if not _is_progress(each)]
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def _is_progress(output: Any) -> bool:
    """Whether it is what `facerec.core.track` shows, which rich draws as HTML in a notebook, or standard error."""
    shown = output.get("data", {"image/png": ""})
    return output.get("name") == "stderr" or (output.output_type == "display_data" and "image/png" not in shown)


if __name__ == "__main__":
    write_text(ROOT / NOTEBOOK, nbformat.writes(run_notebook()) + "\n")
