"""A head that every one of several processes holds whole: the loss of the faces of all."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from facerec import distributed
from facerec.heads.base import Head


class Replicated(Head):
    """The loss of `head` over the global batch, for heads that cannot be split (`facerec.heads.sharded`).

    Embeddings and labels are gathered, all processes compute the same of them, and so update their copies of the
    head alike. Every process must call `forward` and `accuracy` at the same time.
    """

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean over the global batch, the same on all processes; `embeddings` (b, dim) are this process's part."""
        return self.head.loss(distributed.gather(embeddings), distributed.gather(labels))

    @torch.no_grad()
    def accuracy(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Share of the global batch told right; the same on all processes."""
        return self.head.accuracy(distributed.gather(embeddings), distributed.gather(labels))

    def whole_state(self) -> dict[str, Tensor]:
        """The state of the plain head."""
        return self.head.whole_state()

    def load_whole_state(self, state: Mapping[str, Tensor]) -> None:
        """Take the state of the plain head."""
        self.head.load_whole_state(state)
