"""Training in several processes: who is there, and the exchanges that make them equal to one process.

`torchrun --nproc-per-node N` starts the processes and says in the environment how many there are; nothing of it
is a parameter of an experiment. Without torchrun, and in every function here, one process is simply a world of
one, which exchanges nothing.

A head that every process holds whole needs the embeddings of all (`facerec.heads.replicated`); for a head whose
classes are split see `facerec.heads.sharded`.
"""

from facerec.distributed.autograd_collectives import gather, logsumexp, split_work, total
from facerec.distributed.collectives import any_of, broadcast, gather_rows, share
from facerec.distributed.gradients import GradientSum, average_buffers
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
    "broadcast",
    "gather",
    "gather_rows",
    "joined",
    "launched",
    "local_batch",
    "local_rows",
    "logsumexp",
    "rank",
    "rows_of",
    "share",
    "split_work",
    "total",
    "world",
]
