"""Every head on the data of the default experiment: three seeds each, accuracy on its three benchmarks.

`python bench/head_table.py` needs the outputs of `dvc repro`, changes nothing but train.head.name and train.seed of
params.yaml, and writes docs/heads.md. Finished runs are kept in .facerec/head_table.jsonl, so it can be stopped and
started again, and `--heads a,b` lets several processes share the work. It is a smoke test on synthetic faces.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from facerec import use_portable_arithmetic

use_portable_arithmetic()

import torch

from facerec import embedding, heads, params, training
from facerec.core import write_text
from facerec.evaluation import verification
from facerec.interop import pair_lists
from facerec.params import Params, Train
from facerec.store import embeddings, shards
from facerec.store.shards import read_failures

ROOT = Path(__file__).parent.parent
DONE = ROOT / ".facerec/head_table.jsonl"
PAGE = ROOT / "docs/heads.md"
FACES = ROOT / "data/faces"
CPU = torch.device("cpu")
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", default=",".join(heads.HEADS), help="names, with commas between")
    parser.add_argument("--seeds", default="1,2,3")
    asked = parser.parse_args()
    experiment = params.load_params(ROOT / "params.yaml")
    for seed, name in product(map(int, asked.seeds.split(",")), asked.heads.split(",")):
        if not any((row["head"], row["seed"]) == (name, seed) for row in known()):
            row = {"head": name, "seed": seed, **run(experiment, name, seed)}
            DONE.parent.mkdir(exist_ok=True)
            with DONE.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)
    write_text(PAGE, page(experiment, list(known())))


def known() -> Iterator[Row]:
    """The finished runs."""
    if DONE.is_file():
        yield from map(json.loads, DONE.read_text(encoding="utf-8").splitlines())


def recipe(experiment: Params, name: str, seed: int) -> Train:
    """params.train as `dvc exp run -S train.head.name=NAME -S train.seed=SEED` makes it."""
    plain = experiment.train.model_dump()
    return Train.model_validate({**plain, "seed": seed, "head": {**plain["head"], "name": name}})


def run(experiment: Params, name: str, seed: int) -> Row:
    """Train and evaluate."""
    sets = [shards.read_shards(FACES / "train" / each, "faces") for each in experiment.training_sets]
    trained = training.fit(sets, recipe(experiment, name, seed), CPU)
    first, last = trained.history[0], trained.history[-1]
    embedder = embedding.torch_embedder(trained.best)
    found: Row = {"first_loss": first.loss, "last_loss": last.loss, "train_accuracy": last.accuracy}
    for benchmark, wanted in experiment.benchmarks.items():
        faces = shards.read_shards(FACES / "test" / wanted.faces, "faces")
        missing = len(read_failures(faces))
        assert not missing, "rows of photos without a face are embed_set's business"
        rows = embeddings.Embeddings(embedder.embed(faces), faces.sources, faces.identities)
        listed = pair_lists.read_pairs(ROOT / wanted.pairs, faces.sources)
        result = verification.evaluate(listed.interleave(rows.matrix), listed.same, experiment.verify.protocol)
        found[benchmark] = result.accuracy
    return found


def page(experiment: Params, rows: list[Row]) -> str:
    """docs/heads.md."""
    names = sorted({row["head"] for row in rows})
    lines = [
        "# Every head on the default data",
        "",
        "A smoke test on synthetic faces: it shows that every head trains, not which is best. The networks are small, the",
        "people few and rendered, and nothing but `train.head.name` was changed, so scale "
        f"{experiment.train.head.scale:g} and margin {experiment.train.head.margin:g},",
        "which suit ArcFace here, are given to all heads that take them, whatever they mean there.",
        "",
        "Accuracy in percent, mean ± standard deviation over the seeds; chance is 50. Made by",
        "`python bench/head_table.py`; each row is what `dvc exp run -S train.head.name=NAME -S train.seed=SEED` trains.",
        "",
        f"| head | seeds | loss of the first and last epoch | {' | '.join(experiment.benchmarks)} |",
        f"|---|---|---|{'---|' * len(experiment.benchmarks)}",
    ]
    for name in names:
        mine = [row for row in rows if row["head"] == name]
        losses = f"{fmean(row['first_loss'] for row in mine):.3g} to {fmean(row['last_loss'] for row in mine):.3g}"
        cells = [spread([100 * row[benchmark] for row in mine]) for benchmark in experiment.benchmarks]
        which = ", ".join(str(row["seed"]) for row in sorted(mine, key=lambda row: row["seed"]))
        lines.append(f"| `{name}` | {which} | {losses} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def spread(values: list[float]) -> str:
    return f"{fmean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
