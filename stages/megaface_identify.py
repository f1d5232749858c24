"""megaface_identify@task: raw and cleaned features -> the result record, CMC, ROC and the devkit's JSON."""

from __future__ import annotations

from facerec.core import write_json
from facerec.evaluation.identification import on_files
from facerec.params import Params
from stages import common


def identify(params: Params, name: str) -> None:
    """Rank the probes of identification task `name` among its distractors, raw and cleaned."""
    how = params.identify
    cleaned, raw = (
        on_files.identify_files(common.MEGAFACE / name / kind, how.fprs, how.sweeps, how.bootstrap, how.seed)
        for kind in ("cleaned", "features")
    )
    on_files.write_identification({"cleaned": cleaned, "raw": raw}, common.SCORES / name, how.noise)
    cmc, roc = cleaned.curves
    write_json(common.CURVES / f"{name}_cmc.json", {"cmc": cmc})
    write_json(common.CURVES / f"{name}_identification_roc.json", {"roc": roc})


if __name__ == "__main__":
    common.run(identify)
