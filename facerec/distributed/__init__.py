"""Training in several processes: who is there, and the exchanges that make them equal to one process.

`torchrun --nproc-per-node N` starts the processes and says in the environment how many there are; nothing of it
is a parameter of an experiment. Without torchrun, and in every function here, one process is simply a world of
one, which exchanges nothing.

A head that every process holds whole needs the embeddings of all (`facerec.heads.replicated`); for a head whose
classes are split see `facerec.heads.sharded`.
"""

from facerec.distributed.exchanges import gather, logsumexp, split_work, total
from facerec.distributed.gradients import GradientSum, average_buffers
from facerec.distributed.messages import any_of, broadcast, gather_rows, share
from facerec.distributed.places import (
    DistributedError,
    Place,
    joined,
    launched,
    local_batch,
    own,
    rank,
    rows,
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
    "logsumexp",
    "own",
    "rank",
    "rows",
    "share",
    "split_work",
    "total",
    "world",
]
