"""overlap@benchmark: training sets, a benchmark and a network -> decisions about people in both, counts and a sheet."""

from __future__ import annotations

from facerec.curation.overlap import overlap_of_sets
from facerec.reporting.decision_sheets import write_decided
from stages import common


def overlap(params: common.Params, name: str) -> None:
    """Look for the people of benchmark `name` in the training sets."""
    asked = params.overlap[name]
    train = [common.FACES / "train" / each for each in params.training_sets]
    test = common.FACES / "test" / asked.faces
    found = overlap_of_sets(train, test, asked.model, asked.expected, params.embed.engine)
    out, sheet = common.DECISIONS / f"overlap/{name}.yaml", common.SHEETS / f"overlap/{name}.jpg"
    common.write_metrics("overlap", name, write_decided(found, asked.model, out, sheet, asked.reviewed))


if __name__ == "__main__":
    common.run(overlap)
