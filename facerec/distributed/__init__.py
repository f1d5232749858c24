"""Training in several processes: who takes part, and the collectives that make them compute what one process would.

torchrun starts the processes (`facerec.distributed.launching`) and tells each its rank in the environment; none of it
is a parameter of an experiment. Without torchrun all functions work in a single process, which exchanges nothing.

>>> import torch
>>> with joined(torch.device("cpu")) as place:
...     gather(torch.ones(2, 3)).shape[0] == 2 * place.world
True

Heads split by classes, and replicated ones: `facerec.heads.sharded`.
"""

from facerec.distributed.collectives import (
    GradientSum,
    any_of,
    average_buffers,
    broadcast_module,
    broadcast_text,
    gather,
    gather_rows,
    logsumexp,
    split_work,
    sum_parts,
)
from facerec.distributed.process_group import (
    DistributedError,
    Place,
    joined,
    launched,
    local_batch,
    local_rows,
    rank,
    rows_of,
    world,
)

__all__ = [
    "DistributedError",
    "GradientSum",
    "Place",
    "any_of",
    "average_buffers",
    "broadcast_module",
    "broadcast_text",
    "gather",
    "gather_rows",
    "joined",
    "launched",
    "local_batch",
    "local_rows",
    "logsumexp",
    "rank",
    "rows_of",
    "split_work",
    "sum_parts",
    "world",
]
