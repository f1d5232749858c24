"""What processes that train together tell one another besides gradients. All must call each of these at one time."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn

from facerec.distributed.process_group import exchanging, own_device, rank, rows_of, world


def any_of(*flags: bool) -> tuple[bool, ...]:
    """Each flag, true where it is so on any process."""
    if world() == 1:
        return flags
    known = torch.tensor(flags, dtype=torch.int32, device=own_device())
    with exchanging():
        distributed.all_reduce(known, distributed.ReduceOp.MAX)
    return tuple(bool(flag) for flag in known.tolist())


def share(text: str) -> str:
    """The text that rank 0 gives."""
    if world() == 1:
        return text
    told = [text]
    with exchanging():
        distributed.broadcast_object_list(told, 0, device=own_device())
    return told[0]


def broadcast(module: nn.Module) -> None:
    """Give every process the parameters and buffers of rank 0."""
    if world() > 1:
        for tensor in module.state_dict().values():
            with exchanging():
                distributed.broadcast(tensor, 0)


def gather_rows(local: Tensor, count: int) -> Tensor | None:
    """On rank 0 the whole (count, ...) of which each process holds its `rows`, on the CPU; elsewhere None.

    One part at a time travels.
    """
    if world() == 1:
        return local.detach().cpu()
    parts = []
    for sender in range(world()):
        start, stop = rows_of(count, sender)
        part = (
            local.detach().contiguous()
            if sender == rank()
            else local.new_empty(stop - start, *local.shape[1:])
        )
        with exchanging():
            distributed.broadcast(part, sender)
        if rank() == 0:
            parts.append(part.cpu())
    return torch.cat(parts) if parts else None
