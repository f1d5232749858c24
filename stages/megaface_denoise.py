"""megaface_denoise@task: features and noise lists -> cleaned features, and how much noise was found."""

from __future__ import annotations

from pathlib import Path

from facerec.evaluation.identification import on_files
from stages import common


def denoise(params: common.Params, name: str) -> None:
    """Clean the features of identification task `name` as params.identify says."""
    task = params.identification[name]
    cleaned = on_files.denoise_files(
        common.MEGAFACE / name / "features",
        Path(task.probe_noises),
        Path(task.distractor_noises),
        params.identify.noise,
        params.identify.seed,
        common.MEGAFACE / name / "cleaned",
    )
    common.write_metrics("denoise", name, {"noise": cleaned.metrics()})


if __name__ == "__main__":
    common.run(denoise)
