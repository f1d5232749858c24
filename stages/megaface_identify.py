"""megaface_identify@task: raw and cleaned features -> the result record, CMC, ROC and the devkit's JSON."""

from __future__ import annotations

from facerec.evaluation.identification import on_files
from stages import common


def identify(params: common.Params, name: str) -> None:
    """Rank the probes of identification task `name` among its distractors, raw and cleaned."""
    how = params.identify
    cleaned, raw = (
        on_files.identify_files(common.MEGAFACE / name / kind, how.fprs, how.sweeps, how.bootstrap, how.seed)
        for kind in ("cleaned", "features")
    )
    if cleaned.doubt:
        common.note(f"{name}: {cleaned.doubt}")
    on_files.write_identification({"cleaned": cleaned, "raw": raw}, common.SCORES / name, how.noise)
    cmc, roc = cleaned.curves
    common.write_curve(name, "cmc", cmc)
    common.write_curve(f"{name}_identification", "roc", roc)


if __name__ == "__main__":
    common.run(identify)
