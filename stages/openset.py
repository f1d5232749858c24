"""openset@task: the embeddings of a benchmark -> the rates of an open-set protocol over its trials, and the DIR curve."""

from __future__ import annotations

from pathlib import Path

from facerec.evaluation.open_set import on_files
from stages import common


def openset(params: common.Params, name: str) -> None:
    """Measure task `name` of params.openset."""
    task = params.openset[name]
    lists = None if task.lists is None else Path(task.lists)
    options = on_files.OpenSetOptions(task.protocol, lists, task.fusion, task.gallery, task.trials, task.seed)
    judged = on_files.measure_files(common.EMBEDDINGS / f"{task.benchmark}.npy", options)
    for sentence in judged.notes:
        common.note(f"{name}: {sentence}")
    judged.write(common.SCORES / name)
    common.write_curve(name, "dir", judged.result.dir_curve())


if __name__ == "__main__":
    common.run(openset)
