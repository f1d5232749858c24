"""Long work that an interrupted run continues: finished parts are kept in a scratch folder.

The folder is `<scratch>/<what>/<key>/`, outside DVC (machine setting FACEREC_SCRATCH, default .facerec/scratch). The key
is a digest of everything that decides the result: the content of the inputs, the parameters, this package's code and the
libraries below it. So a part that is found is the one a new run would make; a damaged part is made again.

A run that ends well removes its folder; other folders are removed after KEPT_DAYS. Two runs of the same work may share a
folder: parts appear whole, and a part that the other run removes is made again. So may processes on several machines
that share the scratch folder: they take no locks and give their temporary files names that no other has.

Each of n processes can make a share of the parts (`making_share`); a run after them finds them all.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from facerec.core.digests import remembered_digests, sha256_of_bytes
from facerec.core.executor import Local, Work, map_ordered
from facerec.core.fingerprint import fingerprint
from facerec.core.progress import bar
from facerec.core.settings import local_path

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
KEPT_DAYS = 14
"""Days after which the folder of an interrupted run is removed."""

_DIGEST = 64  # bytes that a SHA-256 takes in hexadecimal
_DELAY = 90.0
"""Seconds after which a file that another machine wrote is seen here; NFS remembers for 60 that there was none."""


class ShareMade(Exception):  # noqa: N818, not an error
    """This process was to make a share of the parts only, and has.

    Attributes:
        parts: how many there are in its share.
        new: how many of them it made; the others were there.
    """

    def __init__(self, parts: int, new: int) -> None:
        super().__init__(f"{new} of {parts} parts made")
        self.parts, self.new = parts, new


_share: tuple[int, int] | None = None


@contextmanager
def making_share(number: int, of: int) -> Iterator[None]:
    """In the block, long work makes only the parts `number`, `number` + `of`, ... and then raises ShareMade."""
    global _share
    _share = number, of
    try:
        yield
    finally:
        _share = None


def is_share() -> bool:
    """Whether this is inside a block of `making_share`."""
    return _share is not None


def own_share(jobs: list[T]) -> list[T]:
    """The jobs that are to be made here: all, or in a block of `making_share` those of the share."""
    return jobs if _share is None else jobs[_share[0] :: _share[1]]


@contextmanager
def resumable_tables(
    what: str,
    inputs: Mapping[str, Any],
    function: Callable[[range], pa.Table],
    count: int | Sequence[int],
    step: int,
    title: str,
    workers: int | None = None,
    initializer: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
    *,
    gpus: int = 0,
    local: Local = "processes",
) -> Iterator[Iterator[pa.Table]]:
    """The tables that `function` makes of ranges of `step` photos, in order; tables of an earlier run are reused.

    The folder of the parts is removed when the block ends without an exception, so write the result inside it. The
    bytes do not depend on the number of workers.

    Args:
        what: name of the work, a folder in the scratch folder.
        inputs: all that decides the tables; see `work_key`.
        function: makes the table of a range of photos, in a worker; see `map_ordered`.
        count: number of photos, or those of several sets, which are counted on and of which no range has two.
        step: photos a table.
        title: description of the progress bar.
        workers: number of workers, by default those of the machine or cluster.
        initializer: called with `arguments` once in every worker.
        gpus: how many GPUs a worker needs, if any.
        local: how one machine does it; see `map_ordered`.

    Raises:
        ShareMade: in a block of `making_share`.
    """
    counts = [count] if isinstance(count, int) else list(count)
    jobs = _jobs(counts, step)
    share = own_share(jobs)
    with work_folder(what, {**inputs, "step": step}) as folder, bar() as progress:
        missing = [job for job in share if not _part_path(folder, job).exists()]
        new, total = (sum(map(len, each)) for each in (missing, share))
        task = progress.add_task(title, total=total, completed=total - new, unit="photos")
        make = _Make(folder, function)

        def made() -> Iterator[_Receipt | pa.Table]:
            work = map_ordered(make, missing, workers, initializer, arguments, gpus=gpus, local=local)
            for job, receipt in zip(missing, work, strict=True):
                progress.update(task, advance=len(job))
                yield receipt

        if is_share():
            raise ShareMade(len(share), sum(1 for _ in made()))
        yield _tables(folder, jobs, set(missing), made(), Work(function, (), initializer, arguments))


def _jobs(counts: Sequence[int], step: int) -> list[range]:
    jobs, first = [], 0
    for count in counts:
        last = first + count
        jobs += [range(start, min(start + step, last)) for start in range(first, last, step)]
        first = last
    return jobs


def _tables(
    folder: Path,
    jobs: list[range],
    missing: set[range],
    made: Iterator[_Receipt | pa.Table],
    work: Work[range, pa.Table],
) -> Iterator[pa.Table]:
    """The tables of all parts, in order: those that are there and those that are `made` now.

    A part that is damaged, or that another run has removed meanwhile, is made again in this process.
    """
    for job in jobs:
        table = next(made) if job in missing else _read_part(_part_path(folder, job))
        if isinstance(table, _Receipt):
            table = _read_delivered(_part_path(folder, job), table)
        if table is None:
            table = work.prepare()(job)
        yield table
    assert next(made, None) is None  # and ends the workers


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
    described = json.dumps({"code": fingerprint(), "inputs": inputs}, sort_keys=True, default=_describe)
    return sha256_of_bytes(described.encode())[:32]


def _describe(value: Any) -> Any:
    """A path by its content, for JSON."""
    if isinstance(value, Path):
        return {"content": remembered_digests(value)}
    raise TypeError(f"{type(value).__name__} cannot be part of a scratch key")


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


@dataclass(frozen=True)
class _Receipt:
    """What a worker sends in place of a table that it has written: its digest, and the machine that wrote it."""

    digest: str
    node: str


@dataclass(frozen=True)
class _Make:
    """Makes parts in a worker, and writes them into the folder."""

    folder: Path
    function: Callable[[range], pa.Table]

    def __call__(self, job: range) -> _Receipt | pa.Table:
        """The receipt of the part; its table where another run of the same work is removing the folder."""
        table = self.function(job)
        digest = _write_part(_part_path(self.folder, job), table)
        return table if digest is None else _Receipt(digest, platform.node())


def _read_delivered(path: Path, receipt: _Receipt) -> pa.Table | None:
    """The table that a worker has written, perhaps on a machine whose files are seen here a little later."""
    patience = _DELAY if receipt.node != platform.node() else 0.0
    given_up = time.monotonic() + patience
    while (table := _read_part(path, receipt.digest)) is None and time.monotonic() < given_up:
        time.sleep(0.2)
        with suppress(FileNotFoundError):
            os.scandir(path.parent).close()  # asks the server anew
    return table


def _read_part(path: Path, digest: str | None = None) -> pa.Table | None:
    """The table in the file, with this digest if one is given; None where it is missing or damaged."""
    import pyarrow as pa  # only here, since every command imports this module

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    body = memoryview(data)[_DIGEST:]
    if sha256_of_bytes(body).encode() != data[:_DIGEST] or (digest and digest.encode() != data[:_DIGEST]):
        return None
    return pa.ipc.open_stream(pa.py_buffer(body)).read_all()


def _write_part(path: Path, table: pa.Table) -> str | None:
    """Write the table with its digest, and return that; None where another run of the same work removes the folder."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body = memoryview(sink.getvalue())
    digest = sha256_of_bytes(body)
    temporary = path.with_name(f".{path.name}.{platform.node()}-{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(digest.encode())
            file.write(body)
        temporary.replace(path)
    except (FileNotFoundError, FileExistsError):
        return None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return digest
