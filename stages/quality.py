"""quality@benchmark: embeddings, scores and qualities of faces -> error-versus-reject curves."""

from __future__ import annotations

from pathlib import Path

from facerec.core import write_json
from facerec.evaluation.verification import on_files
from stages import common


def quality(params: common.Params, name: str) -> None:
    """Rate the faces of benchmark `name` and reject the worst."""
    asked = params.quality[name]
    table = None if asked.table is None else Path(asked.table)
    rated = on_files.rate_faces(common.EMBEDDINGS / f"{name}.npy", table, asked.column)
    found = on_files.reject_worst_scored(rated, common.SCORES / name, params.verify.far)
    common.write_metrics("quality", name, {"by": rated.name, **found.metrics()})
    write_json(common.CURVES / f"{name}_reject.json", {"reject": found.curves})


if __name__ == "__main__":
    common.run(quality)
