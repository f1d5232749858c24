"""Long work that an interrupted run continues: finished parts are kept in a scratch folder.

The folder is `<scratch>/<what>/<key>/`, outside DVC (machine setting FACEREC_SCRATCH, default .facerec/scratch). The key
is a digest of everything that decides the result: the content of the inputs, the parameters, this package's code and the
libraries below it. So a part that is found is the one a new run would make; a damaged part is made again.

A run that ends well removes its folder; other folders are removed after KEPT_DAYS. Two runs of the same work may share a
folder: parts appear whole, and a part that the other run removes is made again.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facerec.core.digests import combined_digest, file_digests, sha256_of_bytes, sha256_of_file
from facerec.core.executor import map_ordered
from facerec.core.files import atomic_file
from facerec.core.progress import bar
from facerec.core.settings import local_path

if TYPE_CHECKING:
    import pyarrow as pa

KEPT_DAYS = 14
"""Days after which the folder of an interrupted run is removed."""

_LIBRARIES = [
    "mtcnn",
    "numpy",
    "onnxruntime",
    "opencv-contrib-python-headless",
    "pillow",
    "pyarrow",
    "retina-face",
    "torch",
]
_DIGEST = 64  # bytes that a SHA-256 takes in hexadecimal


@contextmanager
def resumable_tables(
    what: str,
    inputs: Mapping[str, Any],
    function: Callable[[range], pa.Table],
    count: int,
    step: int,
    title: str,
    workers: int | None = None,
    initializer: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Iterator[Iterator[pa.Table]]:
    """The tables that `function` makes of ranges of `step` photos, in order; tables of an earlier run are reused.

    The folder of the parts is removed when the block ends without an exception, so write the result inside it. The
    bytes do not depend on the number of workers.

    Args:
        what: name of the work, a folder in the scratch folder.
        inputs: all that decides the tables; see `work_key`.
        function: makes the table of a range of photos, in a worker process; see `map_ordered`.
        count: number of photos.
        step: photos a table.
        title: description of the progress bar.
        workers: number of processes, by default those of the machine.
        initializer: called with `arguments` once in every worker.
    """
    jobs = [range(start, min(start + step, count)) for start in range(0, count, step)]
    with work_folder(what, {**inputs, "step": step}) as folder, bar() as progress:
        kept = sum(len(job) for job in jobs if _part_path(folder, job).exists())
        task = progress.add_task(title, total=count, completed=kept, unit="photos")
        make = partial(_read_or_make, folder, function)

        def tables() -> Iterator[pa.Table]:
            made = map_ordered(make, jobs, workers, initializer, arguments)
            for job, (table, is_new) in zip(jobs, made, strict=True):
                progress.update(task, advance=len(job) if is_new else 0)
                yield table

        yield tables()


@contextmanager
def work_folder(what: str, inputs: Mapping[str, Any]) -> Iterator[Path]:
    """A folder for the work `what` on `inputs`, with what an interrupted run left in it.

    It is removed when the block ends without an exception, or meanwhile, if another run of the same work ends.
    """
    root = local_path("scratch", ".facerec/scratch") / what
    folder = root / work_key(inputs)
    remove_old_folders(root, folder)
    _make_folder(folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # the parts of other work are in it
        root.rmdir() if root.is_absolute() else os.removedirs(root)


def kept_folder(what: str, inputs: Mapping[str, Any]) -> Path:
    """As `work_folder`, a folder that stays for others who need the same: it is removed after KEPT_DAYS."""
    root = local_path("scratch", ".facerec/scratch") / what
    folder = root / work_key(inputs)
    remove_old_folders(root, folder)
    _make_folder(folder)
    return folder


def work_key(inputs: Mapping[str, Any]) -> str:
    """Digest of the inputs and of the code that works on them.

    A Path in `inputs` stands for the content of the file or folder, any other value (numbers, strings, mappings and
    lists of them) for itself.
    """
    described = json.dumps({"code": _code(), "inputs": inputs}, sort_keys=True, default=_describe)
    return sha256_of_bytes(described.encode())[:32]


def _describe(value: Any) -> Any:
    """A path by its content, for JSON."""
    if isinstance(value, Path):
        return {"content": file_digests(value)}
    raise TypeError(f"{type(value).__name__} cannot be part of a scratch key")


@cache
def _code() -> dict[str, Any]:
    """All code of this package, as parts of two versions must not mix, and the libraries that decide bytes."""
    package = Path(__file__).parents[1]
    files = {str(file.relative_to(package)): sha256_of_file(file) for file in sorted(package.rglob("*.py"))}
    return {"sources": combined_digest(files), "libraries": [_version(name) for name in _LIBRARIES]}


def _version(name: str) -> str:
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return name


def _make_folder(folder: Path, attempts: int = 100) -> None:
    """Make the folder, which another run that ends may be removing at the same moment."""
    for attempt in range(1, attempts + 1):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return
        except (FileExistsError, FileNotFoundError):
            if attempt == attempts:
                raise


def remove_old_folders(root: Path, wanted: Path | None = None) -> None:
    """Remove folders in `root` unchanged for KEPT_DAYS; other runs may remove theirs, and `root`, meanwhile.

    The `wanted` one stays however old it looks, as after a correction of the clock.
    """
    folders: list[Path] = []
    with suppress(FileNotFoundError):
        folders += root.iterdir()
    for folder in folders:
        with suppress(FileNotFoundError):
            if folder != wanted and folder.stat().st_mtime < time.time() - KEPT_DAYS * 86_400:
                shutil.rmtree(folder, ignore_errors=True)


def _part_path(folder: Path, job: range) -> Path:
    return folder / f"{job.start:09d}.part"


def _read_or_make(folder: Path, function: Callable[[range], pa.Table], job: range) -> tuple[pa.Table, bool]:
    """The table of one job and whether it was made now, in a worker process."""
    path = _part_path(folder, job)
    table = _read_part(path)
    if table is not None:
        return table, False
    table = function(job)
    _write_part(path, table)
    return table, True


def _read_part(path: Path) -> pa.Table | None:
    """The table in the file; None where it is missing or damaged."""
    import pyarrow as pa  # only here, since every command imports this module

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    body = memoryview(data)[_DIGEST:]
    if sha256_of_bytes(body).encode() != data[:_DIGEST]:
        return None
    return pa.ipc.open_stream(pa.py_buffer(body)).read_all()


def _write_part(path: Path, table: pa.Table) -> None:
    """Write the table, unless another run of the same work is removing the folder; its digest is in it."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body = memoryview(sink.getvalue())
    with (
        suppress(FileNotFoundError, FileExistsError),
        atomic_file(path, False) as temporary,
        temporary.open("wb") as file,
    ):
        file.write(sha256_of_bytes(body).encode())
        file.write(body)
