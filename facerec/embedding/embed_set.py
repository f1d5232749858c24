"""Embeddings of whole face sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

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

_BATCH = 64  # faces; fixed, since arithmetic in another batch may differ in the last bit
_JOB = 4 * _BATCH
"""Faces of a part; a whole number of batches."""
_GPU_JOB = 128 * _BATCH
"""Faces of a part on a GPU, which should seldom wait for the first faces of the next."""


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
    with _embedded(model, [faces], allow_torchscript, engine) as (embeddings,):
        if out is not None:
            write_embeddings(embeddings, out)
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
    with _embedded(model, [probes, distractors], False, engine) as embeddings:
        first, second = (replace(each, matrix=normalise(each.matrix, out=each.matrix)) for each in embeddings)
        write_feature_sets(first, second, out)


@contextmanager
def _embedded(
    model: str | Path, sets: Sequence[str | Path], allow_torchscript: bool, engine: str
) -> Iterator[list[Embeddings]]:
    """The embeddings of face sets; write them inside the block, which ends with the removal of their parts."""
    embedding = _Embedding(partial(_open_here, model, allow_torchscript, engine), [Path(faces) for faces in sets])
    embedder, failures = embedding.embedder, [read_failures(each) for each in embedding.sets]
    counts, on_cpu = [len(each) for each in embedding.sets], embedder.device.type == "cpu"
    inputs = _inputs(embedder, engine, embedding.paths)
    title = f"Embedding {' and '.join(each.meta.dataset for each in embedding.sets)}"
    work = resumable_tables(
        "embed", inputs, embedding, counts, _JOB if on_cpu else _GPU_JOB, title,
        gpus=int(not on_cpu), local="threads" if on_cpu else "here",
    )  # fmt: skip
    lengths = [count + len(failed) for count, failed in zip(counts, failures, strict=True)]
    matrices = [np.full((length, embedder.dim), np.nan, np.float32) for length in lengths]
    with work as tables:
        _fill(matrices, counts, tables)
        yield [
            Embeddings(
                matrix,
                [*faces.sources, *(failure.source for failure in failed)],
                [*faces.identities, *(failure.identity for failure in failed)],
                _origin(embedder, faces.meta.dataset),
            )
            for faces, failed, matrix in zip(embedding.sets, failures, matrices, strict=True)
        ]


def _inputs(embedder: Embedder, engine: str, faces: Sequence[Path]) -> dict[str, Any]:
    """What decides the embeddings besides code, libraries and arithmetic; the digest covers the preprocessing."""
    return {"network": embedder.digest, "engine": engine, "device": embedder.device.type, "faces": [*faces]}


def _fill(matrices: Sequence[NDArray[np.float32]], counts: Sequence[int], tables: Iterator[pa.Table]) -> None:
    """Put the rows of the tables, in order, into the first `counts` rows of the matrices; no table is of two sets."""
    number = filled = 0
    for table in tables:
        while filled == counts[number]:
            number, filled = number + 1, 0
        rows = table["embedding"].combine_chunks().flatten().to_numpy()
        matrices[number][filled : filled + len(table)] = rows.reshape(len(table), -1)
        filled += len(table)


def _origin(embedder: Embedder, dataset: str) -> Origin:
    return Origin(embedder.digest, dataset, entries.is_rendered(dataset), describe_engine(embedder))


def _open_here(model: str | Path, allow_torchscript: bool, engine: str) -> Embedder:
    return use_engine(load_embedder(model, torch_device(), allow_torchscript), engine)


class _Embedding:
    """Embeds ranges of the faces of some sets, which are counted on.

    It opens the network and the sets, and does so again, once, in every worker it is sent to.
    """

    def __init__(self, opener: Callable[[], Embedder], paths: Sequence[Path], digest: str = "") -> None:
        self.opener, self.paths, self.embedder = opener, paths, opener()
        if digest and self.embedder.digest != digest:
            raise FormatError("The network is another one here, or was replaced meanwhile; run again.")
        self.sets = [read_shards(path, "faces") for path in paths]
        for each in self.sets:
            self.embedder.preprocessing.check(each.meta)
        self._faces = FaceDataset(self.sets, self.embedder.preprocessing.size)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.opener, self.paths, self.embedder.digest)

    def __call__(self, job: range) -> pa.Table:
        """The column `embedding` of the faces of `job`, whose last batch is padded."""
        order = index_batches(job, _BATCH)
        if self.embedder.device.type == "cpu":
            torch.set_num_threads(1)  # sums depend on the number of threads that share them
            with reused_memory():
                rows = [self.embedder.embed_batch(self._faces, _BATCH, indices) for indices in order]
        else:
            rows = list(self.embedder.embed_faces(self._faces, order, _BATCH))
        numbers = pa.array(np.concatenate(rows).ravel())
        return pa.table({"embedding": pa.FixedSizeListArray.from_arrays(numbers, self.embedder.dim)})
