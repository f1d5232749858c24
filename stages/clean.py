"""clean@set: a training set and a network -> decisions about errors of its labels, their counts and a sheet of them."""

from __future__ import annotations

from facerec.curation import cleaning
from facerec.reporting.decision_sheets import write_decided
from stages import common


def clean(params: common.Params, name: str) -> None:
    """Look for errors in training set `name`."""
    asked = params.clean[name]
    rules = cleaning.CleaningOptions(**asked.model_dump(exclude={"model", "reviewed"}))
    found = cleaning.find_errors(common.FACES / "train" / name, asked.model, rules, params.embed.engine)
    out, sheet = common.DECISIONS / f"clean/{name}.yaml", common.SHEETS / f"clean/{name}.jpg"
    common.write_metrics("clean", name, write_decided(found, asked.model, out, sheet, asked.reviewed))


if __name__ == "__main__":
    common.run(clean)
