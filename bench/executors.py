"""Detection by local processes and by Ray with as many nodes of one CPU each: equal bytes, what Ray costs, how it grows.

    python bench/executors.py --photos 5000 --nodes 2 --rounds 3

Photos of LFW from the folder FACEREC_MIRROR, MTCNN. The cluster runs before the clock starts, its workers start within
the measured time, as local processes do. Wall time is what a user waits for, but on a shared machine it measures the
neighbours: CPU time is that of this process and of all below it, Ray's own daemons included, sampled every tenth of
a second.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import _photos
import psutil
from _timing import absent, report

from facerec.core import sha256_of_file
from facerec.detection import table
from facerec.interop import photos as reading
from facerec.interop.file_sources import LIMITS, open_source
from facerec.store import shard_writing, shards

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": os.urandom(32).hex()}
try:  # Ray reads its settings when it is imported
    from ray.cluster_utils import Cluster
except ImportError:
    absent("The extra [ray] is not installed, so there is nothing to compare with.")


class CpuTime:
    """CPU seconds of this process and of all below it within a block, also of those that end in it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._known: dict[tuple[int, float], float] = {}

    @contextmanager
    def counted(self) -> Iterator[None]:
        self._look()
        before, over = sum(self._known.values()), threading.Event()
        sampler = threading.Thread(target=lambda: [self._look() for _ in iter(lambda: over.wait(0.1), True)])
        sampler.start()
        try:
            yield
        finally:
            over.set()
            sampler.join()
            self._look()
            self.seconds = sum(self._known.values()) - before

    def _look(self) -> None:
        me = psutil.Process()
        for process in [me, *me.children(recursive=True)]:
            try:
                times = process.cpu_times()
                self._known[process.pid, process.create_time()] = times.user + times.system
            except psutil.NoSuchProcess:
                continue


def write_photos(folder: Path, count: int) -> None:
    with open_source(_photos.mirror() / "lfw-deepfunneled.tgz", LIMITS, folder) as files:
        names = [name for name in files.names if reading.is_photo(name, files)]
        chosen = names[:: max(1, len(names) // count)][:count]
        rows = ({"image": files.read(name), "label": -1, "identity": "", "source": name} for name in chosen)
        shard_writing.write_shards(rows, folder / "photos", shards.Meta("photos", "lfw"))


def detect(folder: Path, workers: int, **settings: str) -> tuple[float, float, str]:
    """Wall and CPU seconds of a detection, and the digest of its table."""
    os.environ.update(settings)
    cpu, start = CpuTime(), time.perf_counter()
    with cpu.counted():
        table.detect_set(folder / "photos", folder / "table.parquet", "mtcnn", workers=workers)
    return time.perf_counter() - start, cpu.seconds, sha256_of_file(folder / "table.parquet")


def main() -> None:
    """Measure rounds of all three in turn."""
    parser = argparse.ArgumentParser()
    for name, default in (("photos", 5000), ("nodes", 2), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    node = {"num_cpus": 1, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    for _ in range(asked.nodes - 1):
        cluster.add_node(**node)
    seconds: dict[str, list[tuple[float, float]]] = {"one": [], "processes": [], "ray": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["FACEREC_SCRATCH"] = str(folder / "scratch")
        os.environ["FACEREC_RAY_ADDRESS"] = cluster.address
        write_photos(folder, asked.photos)
        digests = set()
        for _ in range(asked.rounds):
            for way, workers, executor in (
                ("one", 1, "processes"),
                ("processes", asked.nodes, "processes"),
                ("ray", asked.nodes, "ray"),
            ):
                wall, cpu, digest = detect(folder, workers, FACEREC_EXECUTOR=executor)
                print(f"{way:10} {wall:8.1f} s, {cpu:8.1f} CPU-s")
                seconds[way].append((wall, cpu))
                digests.add(digest)
    cluster.shutdown()
    assert len(digests) == 1, "the ways differ"
    what, pairs = (
        f"detection in {asked.photos} photos, Ray with {asked.nodes} nodes",
        list(zip(*seconds.values(), strict=True)),
    )
    for kind, place in (("time", 0), ("CPU time", 1)):
        report(
            what,
            "as many local processes",
            sorted(ray[place] / local[place] for _, local, ray in pairs),
            f"times the {kind}",
            "1.1",
        )
    report(what, "one process", sorted(one[0] / ray[0] for one, _, ray in pairs), "times as fast", "1.8")


if __name__ == "__main__":
    main()
