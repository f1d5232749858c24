"""CPU time, memory, disk and reading of the stages on made-up data of real size; docs/scale.md has the table.

    python bench/scale.py               a tenth of the size and the size: some 20 minutes and 10 GB of disk
    python bench/scale.py --share 0.1   both a tenth as large
    python bench/scale.py --only pairs  the steps whose data are described by that word
    python bench/scale.py --small       seconds, to see that it runs

Every step runs in a process of its own. "CPU" is that of the process and its workers, "memory" the most that they held
together beside the pages of mapped files, which the system takes back when it needs them (looked at twenty times a
second), "written" the bytes of the output and "read" what came from the disk after the system was asked to forget the
input. FACEREC_WORKERS sets the number of workers, as everywhere.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np

RECORDS, PHOTOS, FEATURES, PAIRS = 1_000_000, 100_000, 1_000_000, 2_000_000
PROBES, DIM, BATCH = 3_530, 512, 512


# Data


def drawings(count: int, height: int, width: int, seed: int, grain: int) -> list[bytes]:
    """JPEG files of smooth noise, about as large as photos of that size."""
    import cv2

    from facerec.imaging import images

    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, height // grain, width // grain, 3), np.uint8)
    return [images.encode_jpeg(np.asarray(cv2.resize(each, (width, height)), np.uint8), 90) for each in small]


def write_pack(folder: Path, count: int) -> None:
    from facerec.interop import recordio

    faces = drawings(64, 112, 112, 1, 6)
    people = max(2, count // 60)
    groups = ((label, faces[: 60 if count >= 120 else count // 2]) for label in range(people))
    recordio.write_pack(folder / "pack", groups)


def write_tar(folder: Path, count: int) -> None:
    photos = drawings(64, 250, 250, 2, 10)
    with tarfile.open(folder / "photos.tar", "w") as archive:
        for number in range(count):
            info = tarfile.TarInfo(f"{number // 10:06d}/{number:07d}.jpg")
            info.size = len(photos[number % 64])
            archive.addfile(info, BytesIO(photos[number % 64]))


def write_features(folder: Path, count: int) -> None:
    """Unit vectors: probes of people who resemble themselves, strangers, and lists of noise."""
    from facerec.store import embeddings
    from facerec.store.embeddings import Embeddings, normalise

    rng = np.random.default_rng(3)
    probes = min(PROBES, count)
    people = np.arange(probes) // 44
    faces = normalise(rng.normal(size=(people[-1] + 1, DIM))[people] + rng.normal(size=(probes, DIM)))
    strangers = np.empty((count, DIM), np.float32)
    for start in range(0, count, 4096):
        block = strangers[start : start + 4096]
        block[:] = rng.standard_normal(block.shape, np.float32)
    normalise(strangers, out=strangers)
    known = Embeddings(faces, [f"p{n}/p{n}_{row}.png" for row, n in enumerate(people)], [f"p{n}" for n in people])
    others = Embeddings(strangers, [f"a/b/{row}.jpg" for row in range(count)], [""] * count)
    embeddings.write_feature_sets(known, others, folder / "features")
    (folder / "probe_noises.txt").write_text("p0_1.png\np1_50.png\n")
    (folder / "other_noises.txt").write_text("".join(f"a/b/{row}.jpg\n" for row in range(0, count, 1000)))


def write_pairs(folder: Path, count: int) -> None:
    from facerec.store import embeddings, pairs

    rng = np.random.default_rng(4)
    faces = max(100, count // 20)
    rows = rng.standard_normal((faces, DIM), np.float32)
    people = [f"p{row // 5}" for row in range(faces)]
    made = embeddings.Embeddings(rows, [f"{row}.jpg" for row in range(faces)], people)
    embeddings.write_embeddings(made, folder / "faces.npy")
    first = rng.integers(0, faces, count)
    same = rng.random(count) < 0.5
    second = np.where(same, first // 5 * 5 + rng.integers(0, 5, count), rng.integers(0, faces, count))
    pairs.write_pairs(pairs.Pairs(first, second, same), folder / "pairs.parquet")


# Steps: each gets the folder and says what its output is


def unpack(folder: Path) -> Path:
    from facerec.interop import unpacking

    unpacking.unpack(folder / "pack", folder / "faces")
    return folder / "faces"


def open_set(folder: Path) -> Path:
    from facerec.store import shards

    print(len(shards.read_shards(folder / "faces/train", "faces")))
    return Path()


def read_random(folder: Path) -> Path:
    """The bytes of 10 batches, anywhere in the set."""
    from facerec.store import shards

    faces = shards.read_shards(folder / "faces/train", "faces")
    faces.expect_any_order()
    chosen = np.random.default_rng(5).integers(0, len(faces), 10 * BATCH).tolist()
    print(sum(len(bytes(faces.image(row))) for row in chosen) // len(chosen))
    return Path()


def train_input(folder: Path) -> Path:
    """Twenty balanced batches, decoded."""
    from facerec.store import shards
    from facerec.training.data import BalancedSampler, TrainingFaces

    faces = TrainingFaces([shards.read_shards(folder / "faces/train", "faces")])
    batch = min(BATCH, 2 * faces.classes)
    sampler = BalancedSampler(faces, batch, 2, seed=1)
    loaded = faces.batches(sampler.batches(1))
    for _ in range(min(20, len(sampler))):
        next(loaded)
    return Path()


def embed(folder: Path) -> Path:
    """588 numbers a face, by a network that averages patches: what embedding takes beside the network."""
    from onnx import TensorProto, helper, save_model

    from facerec.embedding import embed_set

    images = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 112, 112])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 588])
    patches = helper.make_node("AveragePool", ["x"], ["patches"], kernel_shape=[8, 8], strides=[8, 8])
    graph = helper.make_graph([patches, helper.make_node("Flatten", ["patches"], ["y"])], "g", [images], [output])
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), folder / "n.onnx")
    (folder / "preprocessing.yaml").write_text("size: [112, 112]\nflip: none\n")
    embed_set.embed_face_set(folder / "n.onnx", folder / "faces/train", folder / "embedded/faces.npy")
    return folder / "embedded"


def ingest(folder: Path) -> Path:
    from facerec.core import atomic_dir
    from facerec.interop.ingest import write_photos
    from facerec.interop.photos import open_photos
    from facerec.store import shards

    with open_photos(folder / "photos.tar") as listed, atomic_dir(folder / "photos") as made:
        write_photos(listed, made, shards.Meta("photos", "made_up"), "photos")
    return folder / "photos"


def list_faces(folder: Path) -> Path:
    """A detection table of made-up faces, one a photo; every photo is decoded for its size."""
    from facerec.detection import table
    from facerec.store import shards

    count = len(shards.read_shards(folder / "photos"))
    points = np.array([[90, 100], [160, 100], [125, 140], [95, 175], [155, 175]], np.float32)
    table.list_set(
        folder / "photos", folder / "found.parquet", np.tile(points, (count, 1, 1)), np.ones(count, np.float32)
    )
    return folder / "found.parquet"


def align(folder: Path) -> Path:
    from facerec.aligning import align_set

    align_set(folder / "photos", folder / "found.parquet", folder / "aligned")
    return folder / "aligned"


def denoise(folder: Path) -> Path:
    from facerec.evaluation.identification import on_files

    lists = (folder / "probe_noises.txt", folder / "other_noises.txt")
    on_files.denoise_files(folder / "features", *lists, "published", 0, folder / "cleaned")
    return folder / "cleaned"


def identify(folder: Path) -> Path:
    from facerec.evaluation.identification import on_files

    found = on_files.identify_files(folder / "cleaned", (1e-6,))
    on_files.write_identification({"cleaned": found}, folder / "scores")
    return folder / "scores"


def verify(folder: Path) -> Path:
    from facerec.evaluation.verification import on_files

    options = on_files.VerifyOptions("insightface", 1e-3, 100, 0)
    on_files.verify_files(folder / "faces.npy", folder / "pairs.parquet", options, folder / "verified")
    return folder / "verified"


STEPS: list[tuple[str, Callable[[Path, int], None], int, list[tuple[Callable[[Path], Path], str, str]]]] = [
    (
        "records of 112x112",
        write_pack,
        RECORDS,
        [
            (unpack, "unpack a pack", "pack"),
            (open_set, "open the set", "faces"),
            (read_random, "read 5,120 faces at random", "faces"),
            (train_input, "20 balanced batches of 512", "faces"),
            (embed, "embed, 588 numbers a face", "faces"),
        ],
    ),
    (
        "photos of 250x250",
        write_tar,
        PHOTOS,
        [
            (ingest, "photos from a tar", "photos.tar"),
            (list_faces, "read their sizes", "photos"),
            (align, "align", "photos"),
        ],
    ),
    (
        "features of 512",
        write_features,
        FEATURES,
        [(denoise, "denoise", "features"), (identify, "identify, 3,530 probes", "cleaned")],
    ),
    ("pairs", write_pairs, PAIRS, [(verify, "verify, 100 draws", "faces.npy")]),
]


# Measuring


def forget(path: Path) -> None:
    """Have the system drop what it keeps of files in memory."""
    for file in [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]:
        with file.open("rb+") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def bytes_on_disk(path: Path) -> int:
    """Bytes of a file or folder; a file of two names counts for what it adds."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files if each.stat().st_nlink == 1)


def run_step(name: str, folder: Path) -> None:
    """Run one step in this process, and print CPU seconds, bytes written and bytes read."""
    output = globals()[name](folder)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(each.ru_utime + each.ru_stime for each in used)
    written = bytes_on_disk(output) if output != Path() else 0
    print(cpu, written, sum(each.ru_inblock for each in used) * 512)


def memory_of(group: int) -> int:
    """Bytes of memory that the processes of a group hold themselves, without pages of files."""
    held = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if int((process / "stat").read_text().rpartition(")")[2].split()[2]) == group:
                lines = (process / "status").read_text().splitlines()
                held += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))
    return held


def run_apart(name: str, folder: Path) -> tuple[list[float], int]:
    """The figures of one step in a process of its own, and the most memory that it and its workers held."""
    environment = os.environ | {"FACEREC_SCRATCH": str(folder / "scratch")}
    command = [sys.executable, __file__, "--step", name, "--folder", str(folder)]
    most = 0
    with (folder / "said").open("w+") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, start_new_session=True)
        while process.poll() is None:
            most = max(most, memory_of(process.pid))
            time.sleep(0.05)
        if process.returncode:
            raise SystemExit(f"The step {name} failed.")
        said.seek(0)
        return [float(word) for word in said.read().splitlines()[-1].split()], most


def measure(share: float, only: str, folder: Path) -> Iterator[str]:
    """A row of the table a step."""
    for what, make, full, steps in (each for each in STEPS if only in each[0]):
        count = max(400, round(full * share))
        with tempfile.TemporaryDirectory(dir=folder) as made:
            make(Path(made), count)
            for step, title, source in steps:
                forget(Path(made, source))
                (cpu, written, read), memory = run_apart(step.__name__, Path(made))
                yield (
                    f"| {count:,} {what} | {title} | {cpu:,.1f} | {memory / 1e6:,.0f} | {written / 1e6:,.1f} "
                    f"| {read / 1e6:,.1f} |"
                )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--step")
    asked = parser.parse_args()
    if asked.step:
        run_step(asked.step, asked.folder)
        return
    print("| data | step | CPU, s | memory, MB | written, MB | read, MB |\n|---|---|---|---|---|---|")
    for share in [0.0] if asked.small else [asked.share / 10, asked.share]:
        for row in measure(share, asked.only, asked.folder or Path(tempfile.gettempdir())):
            print(row, flush=True)


if __name__ == "__main__":
    main()
