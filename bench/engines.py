"""Engines for detection and embeddings on LFW: CPU time of each step, and how far faces and scores move.

    python bench/engines.py          the photos of the first 600 of LFW's 6,000 pairs
    python bench/engines.py 6000     all pairs: hours on a busy machine

RetinaFace mobilenet0.25 and foamliu's MobileFaceNet with mirrored faces, from encoded photos to embeddings, one thread.
Every way is a process of its own, as portable arithmetic is decided when libraries are loaded: "torch" and "fused" are
measured with it, as a run uses them, "bf16" and "onnxruntime" with FACEREC_PORTABLE=no. In each of five rounds all
processes take a fifth of the photos, one after the other, and the ratios are those of a round. Before the ratios are
shown, every way must have found the same faces as torch, with boxes and landmarks within a tenth of a pixel, and
embeddings with a cosine of at least .99 (bf16) or .9999 to those of torch.

Needs FACEREC_MIRROR with LFW, its pairs and both networks. The summary at the end is a table for docs/speed.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from shutil import copy
from statistics import median
from typing import Any

from facerec import use_portable_arithmetic

use_portable_arithmetic()

import numpy as np
from _photos import mirror
from _timing import report

from facerec.core.portable import VARIABLES

WAYS = {
    "torch": ("torch", "torch", "yes"),
    "fused": ("onnxruntime", "fused", "yes"),
    "onnxruntime": ("onnxruntime", "onnxruntime", "no"),
    "bf16": ("onnxruntime", "bf16", "no"),
}
"""Way -> engine of the detector, engine of the embeddings, portable arithmetic."""
STEPS = ("decode", "detect", "align", "embed")
ROUNDS, PIXELS, COSINE = 5, 0.1, {"bf16": 0.99}


def work(detector: str, engine: str, folder: str) -> None:
    """Answer every line of standard input, "START STOP FILE", with the CPU seconds of each step as JSON."""
    import torch

    from facerec import detection
    from facerec.embedding.by_name import open_embedder
    from facerec.imaging import alignment, images

    torch.set_num_threads(1)
    weights = mirror() / "weights" / "retinaface_mobilenet0.25.pth"
    finder = detection.build_detector("retinaface-mnet0.25", weights=weights, engine=detector, device="cpu")
    embedder = open_embedder(Path(folder, "network"), engine=engine)
    encoded = [file.read_bytes() for file in sorted(Path(folder, "photos").iterdir())]
    finder.detect([images.decode(encoded[0])])
    embedder.embed(np.zeros((64, 112, 112, 3), np.uint8))
    for line in sys.stdin:
        start, stop, file = line.split()
        ticks = [time.process_time()]
        photos = [images.decode(data) for data in encoded[int(start) : int(stop)]]
        ticks.append(time.process_time())
        found = finder.detect(photos)
        ticks.append(time.process_time())
        chosen = [detection.choose_face(each, photo.shape[:2]) for each, photo in zip(found, photos, strict=True)]
        boxes = np.array([each.boxes[face] for each, face in zip(found, chosen, strict=True)])
        landmarks = np.array([each.landmarks[face] for each, face in zip(found, chosen, strict=True)])
        matrices = alignment.similarity(landmarks)
        faces = np.stack([alignment.warp(*each) for each in zip(photos, matrices, strict=True)])
        ticks.append(time.process_time())
        embeddings = embedder.embed(faces)
        ticks.append(time.process_time())
        np.savez(file, boxes=boxes, landmarks=landmarks, counts=[len(each) for each in found], embeddings=embeddings)
        print(json.dumps([after - before for before, after in pairwise(ticks)]), flush=True)


def prepare(folder: Path, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Write network and photos of LFW's first pairs to `folder`; returns the photos' numbers (2n,) and the truth (n,)."""
    from facerec.catalog import entries
    from facerec.catalog.sets import acquire
    from facerec.interop import pair_lists

    acquire(entries.load_entry("mobilefacenet_foamliu"), folder / "downloaded")  # for its preprocessing
    (folder / "network").mkdir()
    copy(folder / "downloaded/preprocessing.yaml", folder / "network")
    copy(mirror() / "weights/mobilefacenet_foamliu.pt", folder / "network")
    with tarfile.open(mirror() / "lfw-deepfunneled.tgz") as archive:
        names = sorted(name for name in archive.getnames() if name.endswith(".jpg"))
        listed = pair_lists.read_pairs(mirror() / "lfw-pairs.txt", ["/".join(name.split("/")[-2:]) for name in names])
        rows = listed.rows[: 2 * pairs]
        wanted = {names[row]: number for number, row in enumerate(sorted(set(rows.tolist())))}
        (folder / "photos").mkdir()
        for member in archive:
            if member.name in wanted:
                (folder / "photos" / f"{wanted[member.name]:05d}.jpg").write_bytes(archive.extractfile(member).read())
    return np.array([wanted[names[row]] for row in rows]), listed.same[:pairs]


def measure(folder: Path, photos: int) -> tuple[dict[str, list[list[float]]], dict[str, dict[str, Any]]]:
    """CPU seconds (rounds, steps) and outputs of every way."""
    processes = {way: start(folder, *WAYS[way]) for way in WAYS}
    edges = [photos * number // ROUNDS for number in range(ROUNDS + 1)]
    seconds: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    parts: dict[str, list[Any]] = {way: [] for way in WAYS}
    for start_at, stop in pairwise(edges):
        for way, process in processes.items():
            file = folder / f"{way}-{start_at}.npz"
            process.stdin.write(f"{start_at} {stop} {file}\n")
            process.stdin.flush()
            seconds[way].append(json.loads(process.stdout.readline()))
            parts[way].append(dict(np.load(file)))
        print(
            f"photos {start_at} to {stop}: {', '.join(f'{way} {sum(each[-1]):.2f} s' for way, each in seconds.items())}"
        )
    for process in processes.values():
        process.stdin.close()
        process.wait()
    outputs = {way: {key: np.concatenate([each[key] for each in own]) for key in own[0]} for way, own in parts.items()}
    return seconds, outputs


def start(folder: Path, detector: str, engine: str, portable: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return subprocess.Popen(
        [sys.executable, __file__, "work", detector, engine, str(folder)],
        env=inherited | {"FACEREC_PORTABLE": portable, "OMP_NUM_THREADS": "1", "FACEREC_WORKERS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def moved(outputs: dict[str, Any], way: str) -> tuple[float, float, float]:
    """Largest distance of box corners and landmarks in pixels and lowest cosine of embeddings, against torch."""
    ours, other = outputs["torch"], outputs[way]
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (ours["embeddings"], other["embeddings"])]
    assert np.array_equal(ours["counts"], other["counts"]), f"{way} found other faces"
    boxes, landmarks = (np.abs(ours[key] - other[key]).max() for key in ("boxes", "landmarks"))
    cosine = float((unit[0] * unit[1]).sum(axis=1).min())
    assert max(boxes, landmarks) <= PIXELS, (way, boxes, landmarks)
    assert cosine >= COSINE.get(way, 0.9999), (way, cosine)
    return float(boxes), float(landmarks), cosine


def main(pairs: int) -> None:
    from facerec.evaluation.verification import evaluate

    with tempfile.TemporaryDirectory() as name:
        rows, same = prepare(Path(name), pairs)
        photos = int(rows.max()) + 1
        seconds, outputs = measure(Path(name), photos)
    apart = {way: moved(outputs, way) for way in WAYS}
    print(f"\n{photos:,} photos of LFW, {pairs:,} pairs; CPU milliseconds a photo, medians of {ROUNDS} rounds")
    print(f"| way | {' | '.join(STEPS)} | all | boxes, px | landmarks, px | cosine | accuracy |")
    print("|---|" + "---|" * (len(STEPS) + 5))
    for way, rounds in seconds.items():
        each = [1000 * ROUNDS / photos * median(column) for column in (*zip(*rounds, strict=True), map(sum, rounds))]
        accuracy = evaluate(outputs[way]["embeddings"][rows], same).accuracy
        boxes, landmarks, cosine = apart[way]
        print(
            f"| {way} | {' | '.join(f'{value:.1f}' for value in each)} "
            f"| {boxes:.2f} | {landmarks:.2f} | {cosine:.5f} | {100 * accuracy:.2f} % |"
        )
    for way in list(WAYS)[1:]:
        pairs_of = list(zip(seconds[way], seconds["torch"], strict=True))
        report(
            f"LFW photos to embeddings, {photos:,} photos, detection by onnxruntime, embedding by {way}",
            "torch for both",
            sorted(sum(ours) / sum(torch) for ours, torch in pairs_of),
            "of the CPU time",
            "at most 0.5",
        )
    detect = sorted(torch[1] / ours[1] for ours, torch in zip(seconds["onnxruntime"], seconds["torch"], strict=True))
    report(f"RetinaFace mobilenet0.25 by onnxruntime, {photos:,} photos", "by torch", detect)


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(*sys.argv[2:])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 600)
