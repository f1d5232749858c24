"""What every room stands on: errors, atomic files, settings of the machine, worker processes and progress.

Other rooms import all of it from here:

    from facerec.core import FormatError, atomic_file, map_ordered, require_path, track

    with atomic_file("squares.txt") as temporary:  # appears whole or not at all
        temporary.write_text(" ".join(map(str, map_ordered(square, range(9)))))

`timing`, which records how long a stage took, is imported by its own name.
"""

from facerec.core.allocation import collect_rarely, reused_memory, without_pandas
from facerec.core.compiling import compiled
from facerec.core.console import ERROR_CLASS, INTERRUPTED, note, run_command
from facerec.core.descriptions import (
    Album,
    Description,
    has_magic,
    pair_counts,
    range_of,
    rate_name,
    size_of,
    spread_of,
)
from facerec.core.digests import combined_digest, file_digests, file_state, sha256_of_bytes, sha256_of_file
from facerec.core.errors import (
    AcquireError,
    FacerecError,
    FormatError,
    ImageError,
    ParamsError,
    require_path,
    shown,
    visible,
)
from facerec.core.executor import map_in_threads, map_ordered
from facerec.core.files import (
    atomic_dir,
    atomic_file,
    atomic_link,
    check_place,
    exclusive,
    link_or_copy,
    write_json,
    write_text,
)
from facerec.core.mapping import FileMap, map_file, read_ahead
from facerec.core.onnx_sessions import free_batch, open_session, to_onnx
from facerec.core.portable import PORTABLE, describe_arithmetic, use_portable_arithmetic
from facerec.core.progress import bar, say, terminal, track
from facerec.core.reading import is_torchscript, parse_json, parse_yaml, read_tensors, short_reason, zip_names
from facerec.core.registry import create_registered, options_of
from facerec.core.resumable import (
    ShareMade,
    is_share,
    kept_folder,
    making_share,
    own_share,
    remove_old_folders,
    resumable_tables,
    work_folder,
)
from facerec.core.settings import (
    describe_device,
    device_type,
    home,
    leads,
    local_number,
    local_path,
    local_setting,
    shipped,
    torch_device,
    usable_cores,
    worker_count,
)

__all__ = ["ERROR_CLASS", "INTERRUPTED", "note", "run_command"]
__all__ += ["Album", "Description", "has_magic", "pair_counts", "range_of", "rate_name", "size_of", "spread_of"]
__all__ += ["combined_digest", "file_digests", "file_state", "sha256_of_bytes", "sha256_of_file"]
__all__ += ["AcquireError", "FacerecError", "FormatError", "ImageError", "ParamsError", "require_path"]
__all__ += ["say", "shown", "terminal", "visible"]
__all__ += ["atomic_dir", "atomic_file", "atomic_link", "check_place", "exclusive", "link_or_copy"]
__all__ += ["write_json", "write_text"]
__all__ += ["bar", "map_in_threads", "map_ordered", "track"]
__all__ += ["FileMap", "map_file", "read_ahead"]
__all__ += ["free_batch", "open_session", "to_onnx"]
__all__ += ["PORTABLE", "describe_arithmetic", "use_portable_arithmetic"]
__all__ += ["is_torchscript", "parse_json", "parse_yaml", "read_tensors", "short_reason", "zip_names"]
__all__ += ["compiled", "create_registered", "options_of"]
__all__ += ["ShareMade", "is_share", "kept_folder", "making_share", "own_share", "remove_old_folders"]
__all__ += ["resumable_tables", "work_folder"]
__all__ += ["describe_device", "device_type", "home", "leads", "local_number", "local_path", "local_setting"]
__all__ += [
    "collect_rarely",
    "reused_memory",
    "shipped",
    "torch_device",
    "usable_cores",
    "without_pandas",
    "worker_count",
]
