"""What every room stands on: errors, atomic files, settings of the machine, worker processes and progress.

The names below are all that other rooms usually need:

    from facerec.core import FormatError, atomic_file, map_ordered, require_path, track

    with atomic_file("squares.txt") as temporary:  # appears whole or not at all
        temporary.write_text(" ".join(map(str, map_ordered(square, range(9)))))

Besides: `resumable` keeps finished parts of long work, `digests` has SHA-256, `console` shows errors to people,
`registry` creates parts by name and `timing` records how long a stage took.
"""

from facerec.core.descriptions import Album, Description, has_magic, pair_counts, rate_name, size_of, spread_of
from facerec.core.errors import AcquireError, FacerecError, FormatError, ImageError, ParamsError, require_path
from facerec.core.executor import map_ordered
from facerec.core.files import atomic_dir, atomic_file, write_json, write_text
from facerec.core.progress import bar, track
from facerec.core.settings import (
    describe_device,
    home,
    leads,
    local_path,
    local_setting,
    torch_device,
    usable_cores,
    worker_count,
)

__all__ = [
    "AcquireError",
    "Album",
    "Description",
    "FacerecError",
    "FormatError",
    "ImageError",
    "ParamsError",
    "atomic_dir",
    "atomic_file",
    "bar",
    "describe_device",
    "has_magic",
    "home",
    "leads",
    "local_path",
    "local_setting",
    "map_ordered",
    "pair_counts",
    "rate_name",
    "require_path",
    "size_of",
    "spread_of",
    "torch_device",
    "track",
    "usable_cores",
    "worker_count",
    "write_json",
    "write_text",
]
