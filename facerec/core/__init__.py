"""What every room stands on: errors for people, atomic files, settings of the machine, workers and progress.

The names below are all that other rooms usually need:

    from facerec.core import FormatError, atomic_file, track

Errors are one clear sentence each; files appear whole or not at all; work is spread over local processes with results
that do not depend on their number. `resumable` keeps finished parts of long work, `console` is the edge to a person,
`registry` builds parts by name and `timing` notes how long a stage took.
"""

from facerec.core.descriptions import Album, Description, has_magic, pair_counts, size_of, spread_of
from facerec.core.errors import AcquireError, FacerecError, FormatError, ImageError, ParamsError
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
    "size_of",
    "spread_of",
    "torch_device",
    "track",
    "usable_cores",
    "worker_count",
    "write_json",
    "write_text",
]
