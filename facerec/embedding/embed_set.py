"""Embeddings of whole face sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from facerec.catalog import entries
from facerec.core import (
    FormatError,
    check_place,
    describe_arithmetic,
    kept_folder,
    resumable_tables,
    reused_memory,
    torch_device,
    work_folder,
)
from facerec.embedding.embedder import Embedder, index_batches, load_embedder
from facerec.embedding.engines import describe_engine, use_engine
from facerec.store.embeddings import (
    Embeddings,
    Origin,
    normalise,
    read_embeddings,
    write_embeddings,
    write_feature_sets,
)
from facerec.store.face_dataset import FaceDataset
from facerec.store.shards import read_failures, read_shards
from facerec.store.shared_matrix import SharedMatrix

_BATCH = 64  # faces; fixed, since arithmetic in another batch may differ in the last bit
_JOB = 4 * _BATCH
"""Faces of a part; a whole number of batches."""
_GPU_JOB = 128 * _BATCH
"""Faces of a part on a GPU, which should seldom wait for the first faces of the next."""
_RECEIPT = pa.schema({"start": pa.int64(), "stop": pa.int64(), "digest": pa.string()})


def embed_face_set(
    model: str | Path,
    faces: str | Path,
    out: str | Path | None = None,
    allow_torchscript: bool = False,
    engine: str = "torch",
) -> Embeddings:
    """Embed face set `faces` with the network `model`, run by `engine`, and write `out` (NAME.npy), if given.

    Photos without a face are rows of NaN at the end, so that a benchmark can count them. The bytes do not depend on the
    number of workers, and an interrupted run is continued.
    """
    if out is not None:
        check_place(Path(out), folder=False)
    with _embedded(model, [faces], allow_torchscript, engine) as ((embeddings, file),):
        if out is not None:
            write_embeddings(embeddings, out, file)
    return embeddings


def embed_once(model: str | Path, faces: str | Path, out: str | Path, engine: str = "torch") -> None:
    """As `embed_face_set`, for faces that several benchmarks share: the first one embeds them, the others copy.

    What is copied lies in the scratch folder, under a digest of the network with its preprocessing, the faces, the code
    and the machine's arithmetic, so it is what embedding again would give.
    """
    check_place(Path(out), folder=False)
    embedder = _open_here(model, False, engine)
    inputs = {**_inputs(embedder, engine, [Path(faces)]), "arithmetic": describe_arithmetic(embedder.device.type)}
    kept = kept_folder("embed", inputs) / "embeddings.npy"
    if not kept.with_suffix(".parquet").is_file():  # it is written last
        embed_face_set(model, faces, kept, engine=engine)
    write_embeddings(read_embeddings(kept), out)


def embed_features(
    model: str | Path, probes: str | Path, distractors: str | Path, out: str | Path, engine: str = "torch"
) -> None:
    """Embed two face sets into the feature directory `out`, as rows of length 1, which identification needs."""
    check_place(Path(out), folder=True)
    with _embedded(model, [probes, distractors], False, engine, normalised=True) as (first, second):
        write_feature_sets(first[0], second[0], out, [first[1], second[1]])


@contextmanager
def _embedded(
    model: str | Path, sets: Sequence[str | Path], allow_torchscript: bool, engine: str, normalised: bool = False
) -> Iterator[list[tuple[Embeddings, BinaryIO]]]:
    """The embeddings of face sets and the files they are in, to be linked or copied inside the block.

    At its end the names of the files are removed; what is mapped from them stays readable.
    """
    paths = [Path(faces) for faces in sets]
    embedding = _Embedding(partial(_open_here, model, allow_torchscript, engine), paths, normalised)
    embedder, on_cpu = embedding.embedder, embedding.embedder.device.type == "cpu"
    inputs = {**_inputs(embedder, engine, paths), "normalised": normalised}
    title = f"Embedding {' and '.join(each.meta.dataset for each in embedding.sets)}"
    with work_folder("matrices", inputs) as folder:
        work = resumable_tables(
            "embed", inputs, partial(embedding.write, folder), embedding.counts, _JOB if on_cpu else _GPU_JOB, title,
            gpus=int(not on_cpu), local="threads" if on_cpu else "here",
        )  # fmt: skip
        with work as tables, ExitStack() as files:
            receipts = [receipt for table in tables for receipt in table.to_pylist()]
            matrices = embedding.matrices(folder)
            opened = [files.enter_context(matrix.open()) for matrix in matrices]
            embedding.complete(matrices, opened, receipts)
            yield [(embedding.result(*each), each[-1]) for each in zip(range(len(sets)), matrices, opened, strict=True)]


def _inputs(embedder: Embedder, engine: str, faces: Sequence[Path]) -> dict[str, Any]:
    """What decides the embeddings besides code, libraries and arithmetic; the digest covers the preprocessing."""
    return {"network": embedder.digest, "engine": engine, "device": embedder.device.type, "faces": [*faces]}


def _origin(embedder: Embedder, dataset: str) -> Origin:
    return Origin(embedder.digest, dataset, entries.is_rendered(dataset), describe_engine(embedder))


def _open_here(model: str | Path, allow_torchscript: bool, engine: str) -> Embedder:
    return use_engine(load_embedder(model, torch_device(), allow_torchscript), engine)


class _Embedding:
    """Embeds ranges of the faces of some sets, which are counted on, into a file for each set.

    It opens the network and the sets, and does so again, once, in every worker it is sent to.
    """

    def __init__(
        self, opener: Callable[[], Embedder], paths: Sequence[Path], normalised: bool, digest: str = ""
    ) -> None:
        self.opener, self.paths, self.normalised = opener, paths, normalised
        self.embedder = opener()
        if digest and self.embedder.digest != digest:
            raise FormatError("The network is another one here, or was replaced meanwhile; run again.")
        self.sets = [read_shards(path, "faces") for path in paths]
        for each in self.sets:
            self.embedder.preprocessing.check(each.meta)
        self.counts, self.failures = [len(each) for each in self.sets], [read_failures(each) for each in self.sets]
        self._faces = FaceDataset(self.sets, self.embedder.preprocessing.size)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.opener, self.paths, self.normalised, self.embedder.digest)

    def matrices(self, folder: Path) -> list[SharedMatrix]:
        """The file of each set, with a row for each face and for each photo without one."""
        rows = [count + len(failed) for count, failed in zip(self.counts, self.failures, strict=True)]
        return [SharedMatrix(folder / f"{n}.npy", count, self.embedder.dim) for n, count in enumerate(rows)]

    def write(self, folder: Path, job: range) -> pa.Table:
        """Embed the faces of `job`, which are of one set, and write their rows; the digest of what was written."""
        number, start = self._place(job)
        matrix = self.matrices(folder)[number]
        with matrix.open() as file:
            digest = matrix.put(file, start, self._embed(job))
        return pa.table({"start": [job.start], "stop": [job.stop], "digest": [digest]}, _RECEIPT)

    def complete(
        self, matrices: Sequence[SharedMatrix], files: Sequence[BinaryIO], receipts: Iterable[dict[str, Any]]
    ) -> None:
        """Write what the files lack: rows of NaN for photos without a face, and what a power cut or another run took."""
        for receipt in receipts:
            job = range(receipt["start"], receipt["stop"])
            number, start = self._place(job)
            matrix, file = matrices[number], files[number]
            if not matrix.holds(file, start, len(job), receipt["digest"]):
                matrix.put(file, start, self._embed(job))
        for count, matrix, file in zip(self.counts, matrices, files, strict=True):
            matrix.put(file, count, np.full((matrix.rows - count, matrix.columns), np.nan, np.float32))

    def result(self, number: int, matrix: SharedMatrix, file: BinaryIO) -> Embeddings:
        """The embeddings of a set, whose file is complete."""
        faces, failed = self.sets[number], self.failures[number]
        return Embeddings(
            matrix.read(file),
            [*faces.sources, *(failure.source for failure in failed)],
            [*faces.identities, *(failure.identity for failure in failed)],
            _origin(self.embedder, faces.meta.dataset),
        )

    def _place(self, job: range) -> tuple[int, int]:
        """The set that has the faces of `job`, and the place of the first in it."""
        ends = np.cumsum(self.counts)
        number = int(np.searchsorted(ends, job.start, "right"))
        return number, job.start - int(ends[number]) + self.counts[number]

    def _embed(self, job: range) -> NDArray[np.float32]:
        order = index_batches(job, _BATCH)  # the last is padded
        if self.embedder.device.type == "cpu":
            torch.set_num_threads(1)  # sums depend on the number of threads that share them
            with reused_memory():
                made = [self.embedder.embed_batch(self._faces, _BATCH, indices) for indices in order]
        else:
            made = list(self.embedder.embed_faces(self._faces, order, _BATCH))
        rows = np.concatenate(made)
        return normalise(rows, out=rows) if self.normalised else rows
