"""The scores that come with a network of the catalog, from those of a run: distances of pairs, without names.

`python -m tools.scores mobilefacenet_foamliu_pt data/scores/lfw` after `facerec profile lfw` and `dvc repro`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from facerec.catalog import networks
from facerec.reporting.publishing import copy_scores
from tools.graph import ROOT


def main(entry: str, scores: str) -> None:
    """Copy the folder `scores`, which the stage verify wrote, to the catalog."""
    copy_scores(Path(scores) / "scores.parquet", ROOT / networks.SCORES / entry)


if __name__ == "__main__":
    main(*sys.argv[1:])
