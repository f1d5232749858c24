"""Training recipes compared on real people: trained on aligned photos of them, measured on LFW.

    python bench/recipes.py PEOPLE LFW PAIRS [NAME[@SEED] ...]

PEOPLE and LFW are face sets that `facerec align` wrote, PAIRS is LFW's pairs.txt. Without names it makes all of RUNS with
seed 1. First `facerec overlap` finds the people who are in LFW too, and all trainings leave them out. Every run is `facerec
train`, `facerec embed` and `facerec verify`, as a user would type them, and is kept in .facerec/recipes: a run that is
there is not made again, one that was stopped goes on. It prints the table of all runs that are there in Markdown; CPU
minutes are those of training alone. The published network comes from the catalog (FACEREC_MIRROR).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import yaml
from _timing import cpu_of_children

from facerec.catalog.entries import load_entry
from facerec.catalog.sets import acquire

WORK = Path(".facerec/recipes")
HERE = Path(__file__).resolve().parent.parent
PUBLISHED = WORK / "mobilefacenet_foamliu_pt"
"""Foamliu's MobileFaceNet, to find people with, to start from and to learn from."""
SHARED = WORK / "decisions.yaml"

BASE: dict[str, Any] = {
    "exclude": str(SHARED),
    "epochs": 10,
    "batch": 64,
    "lr": 0.1,
    "weight_decay": 0.0005,
    "threads": 1,
    "schedule": {"name": "cosine", "warmup": 1.0},
    "augment": {"colour": 0.3, "low_resolution": 0.2, "crop": 0.2},
    "backbone": {"name": "mobilefacenet", "dim": 128, "width": 0.25},
    "head": {"name": "arcface", "scale": 24, "margin": 0.2},
}

HALF = {"name": "mobilefacenet", "dim": 128, "width": 0.5}
RESNET10 = {
    "weight_decay": 0.005,
    "backbone": {"name": "resnet10", "dim": 128, "width": 0.5},
    "augment": {**BASE["augment"], "affine": 0.5},
}
COSFACE = {"name": "cosface", "scale": 24, "margin": 0.2}

RUNS: dict[str, dict[str, Any] | None] = {
    "base": {},
    "softmax": {"head": {"name": "softmax"}},
    "cosface": {"head": COSFACE},
    "adaface": {"head": {"name": "adaface", "scale": 24, "margin": 0.2}},
    "multiface": {"head": {"name": "multiface", "slices": 4, "inner": "arcface", "scale": 24, "margin": 0.2}},
    "arcface-32-3": {"head": {"name": "arcface", "scale": 32, "margin": 0.3}},
    "arcface-64-5": {"head": {"name": "arcface", "scale": 64, "margin": 0.5}},
    "plain": {"augment": {}},
    "colour": {"augment": {"colour": 0.3}},
    "varied": {"augment": {"colour": 0.5, "low_resolution": 0.4, "crop": 0.4}},
    "decay": {"weight_decay": 0.002},
    "decay-5": {"weight_decay": 0.005},
    "decay-10": {"weight_decay": 0.01},
    "batch-32": {"batch": 32, "lr": 0.05, "weight_decay": 0.005},
    "softmax-decay-5": {"weight_decay": 0.005, "head": {"name": "softmax"}},
    "cosface-decay-5": {"weight_decay": 0.005, "head": COSFACE},
    "dim-512": {"backbone": {"name": "mobilefacenet", "dim": 512, "width": 0.25}},
    "epochs-20": {"epochs": 20},
    "half": {"backbone": HALF},
    "half-20": {"epochs": 20, "backbone": HALF},
    "half-20-decay": {"epochs": 20, "weight_decay": 0.005, "backbone": HALF},
    "half-30": {"epochs": 30, "backbone": HALF},
    "half-30-decay": {"epochs": 30, "weight_decay": 0.005, "backbone": HALF},
    "resnet10-24": {"epochs": 24, "threads": 2, **RESNET10},
    "resnet10-28": {"epochs": 28, **RESNET10},
    "published": None,
    "fine-tuned": {
        "init": str(PUBLISHED),
        "backbone": {"name": "mobilefacenet-relu6", "dim": 128},
        "backbone_rate": 0.1,
        "lr": 0.05,
        "epochs": 4,
    },
    "taught": {
        "teacher": str(PUBLISHED),
        "head_weight": 0,
        "optimiser": "adamw",
        "lr": 0.002,
        "weight_decay": 0.01,
        "backbone": HALF,
    },
    "taught-short": {
        "init": str(PUBLISHED),
        "teacher": str(PUBLISHED),
        "head_weight": 0,
        "optimiser": "adamw",
        "lr": 0.001,
        "weight_decay": 0.01,
        "epochs": 6,
        "backbone": {"name": "mobilefacenet-relu6", "dim": 128, "depth": 0.5},
    },
    "taught-again": {
        "teacher": str(WORK / "half-20-decay.pt"),
        "teacher_weight": 8,
        "epochs": 20,
        "weight_decay": 0.005,
        "backbone": HALF,
    },
    "taught-beside": {"teacher": str(PUBLISHED), "teacher_weight": 8, "weight_decay": 0.002},
}
"""What each run changes of BASE, whole keys of `train`; None trains nothing and measures PUBLISHED. `taught-again` learns
from the network of `half-20-decay`, which has to be there."""


def run(name: str, people: Path, lfw: Path, pairs: Path) -> None:
    """Train, embed and verify one recipe, and keep its figures."""
    kept = WORK / f"{name}.json"
    if kept.exists():
        return
    recipe, _, seed = name.partition("@")
    changes, weights, embedded, before = RUNS[recipe], PUBLISHED, WORK / f"{name}.npy", cpu_of_children()
    if changes is not None:
        params, weights = WORK / f"{name}.yaml", WORK / f"{name}.pt"
        whole = yaml.safe_load((HERE / "params.yaml").read_text())
        whole["train"] = {**whole["train"], **BASE, **changes, "seed": int(seed or 1)}
        params.write_text(yaml.safe_dump(whole))
        facerec("train", people, "--out", weights, "--params", params)
    seconds = cpu_of_children() - before
    facerec("embed", weights, lfw, embedded, "--engine", "onnxruntime")
    told = facerec("verify", embedded, pairs, "--far", "0.01", "--out", WORK / name, "--json")
    kept.write_text(json.dumps({**json.loads(told), "cpu_minutes": round(seconds / 60, 1)}, indent=2) + "\n")


def facerec(*arguments: object) -> str:
    """What a command prints; its progress goes to the terminal."""
    command = [sys.executable, "-m", "facerec", *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def table() -> Iterator[str]:
    """The recipes that were run, best first: means over the seeds, each seed, the mean half-width of the intervals."""
    runs = defaultdict[str, dict[int, dict[str, Any]]](dict)
    for path in WORK.glob("*.json"):
        recipe, _, seed = path.stem.partition("@")
        runs[recipe][int(seed or 1)] = json.loads(path.read_text())
    yield "| recipe | accuracy | each seed | 95 % interval of a run, ± | TAR at FAR 1e-2 | CPU-minutes |"
    yield "|---|---|---|---|---|---|"
    for recipe, seeds in sorted(runs.items(), key=lambda item: -_mean(item[1], "accuracy")):
        each = ", ".join(f"{seeds[seed]['accuracy']:.2%}" for seed in sorted(seeds))
        half = (_mean(seeds, "accuracy_high") - _mean(seeds, "accuracy_low")) / 2
        figures = f"{_mean(seeds, 'tar'):.1%} | {_mean(seeds, 'cpu_minutes'):.1f}"
        yield f"| {recipe} | {_mean(seeds, 'accuracy'):.2%} | {each} | {half:.1%} | {figures} |"


def _mean(seeds: dict[int, dict[str, Any]], name: str) -> float:
    return float(mean(told[name] for told in seeds.values()))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python bench/recipes.py", description=__doc__)
    for path in ("people", "lfw", "pairs"):
        parser.add_argument(path, type=Path)
    parser.add_argument("runs", nargs="*", default=[*RUNS])
    options = parser.parse_args()
    if unknown := [name for name in options.runs if name.partition("@")[0] not in RUNS]:
        parser.error(f"{', '.join(unknown)}: no such run; use {', '.join(RUNS)}")
    WORK.mkdir(parents=True, exist_ok=True)
    if not PUBLISHED.is_dir():
        acquire(load_entry(PUBLISHED.name), PUBLISHED)
    if not SHARED.exists():
        facerec("overlap", options.people, options.lfw, "--model", PUBLISHED, "--engine", "fused", "--out", SHARED)
    for name in options.runs:
        run(name, options.people, options.lfw, options.pairs)
    print("\n".join(table()))


if __name__ == "__main__":
    main()
