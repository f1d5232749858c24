"""Cross entropy over very many classes without their logits: a head that walks the class centres in blocks.

With o_i the log-sum-exp of row i's scaled cosines to all classes but its own, and t_i its scaled cosine to its
own class after the margin, the cross entropy of row i is log(1 + exp(o_i - t_i)). So the walk has to yield only
o and the own cosines (b each); margins stay what the head's own code makes of them, under autograd. The gradient
needs the softmax, which a second walk computes again block by block: exp(s cos_ij - o_i). The workspace is a
few blocks, in place of several (b, classes) and (classes, dim) tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from facerec.core import ParamsError
from facerec.heads.base import CosineHead, Head, full_precision

_SHORTEST = 1e-12  # length below which nothing is normalised, as in torch's own normalize
_SHARE = 0.04  # of the full logits that the workspace may take
_CACHED = 2**20  # numbers of workspace a CPU takes at most: more would not stay in its cache
_FEWEST = 256  # classes a block: with fewer, starting the kernels takes longer than running them

Rows = slice | Tensor


@dataclass(frozen=True)
class Walked:
    """What a walk found for each of b faces; the first two have gradients, the true ones, in embeddings and weight.

    Attributes:
        others: (b,) log-sum-exp of the scaled cosines to all classes but the own.
        cosine: (b,) the own cosine.
        nearest: (b,) the greatest cosine to another class, -inf where there is none.
    """

    others: Tensor
    cosine: Tensor
    nearest: Tensor

    def right(self) -> Tensor:
        """Share of the faces nearest to their own class, a scalar."""
        return (self.cosine.detach() > self.nearest).double().mean()


class Lean(Head):
    """The loss of `head`, equal to it up to rounding, in blocks of classes.

    Its parameters, buffers and `whole_state` are those of `head`. Raises ParamsError for heads that look at more
    than the own cosine and the embeddings, such as softmax, CurricularFace and Circle.
    """

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = own_class_head(head)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy, plus the head's penalty."""
        return self._walk(embeddings, labels)[0]

    def measure(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and accuracy by one walk."""
        with full_precision(embeddings) as precise:
            return self._walk(precise, labels)

    def _walk(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        walked = walk(unit(embeddings, self.head), self.head.weight, labels, self.head.scale)
        return entropy(self.head, walked, embeddings), walked.right()

    @torch.no_grad()
    def predict(self, embeddings: Tensor) -> Tensor:
        """The class (b,) whose centre is nearest, without margin; costs one more walk."""
        return nearest(unit(embeddings, self.head), self.head.weight)[1]

    def whole_state(self) -> dict[str, Tensor]:
        """The state of the plain head."""
        return self.head.whole_state()

    def load_whole_state(self, state: Mapping[str, Tensor]) -> None:
        """Take the state of the plain head."""
        self.head.load_whole_state(state)


def own_class_head(head: Head) -> CosineHead:
    """`head` itself; ParamsError unless it is a CosineHead with nothing but a margin on the own class."""
    if isinstance(head, CosineHead) and looks_at_own_class(type(head)):
        return head
    raise ParamsError(
        f"The head {type(head).__name__} cannot be computed in parts of its classes; take one with a margin on the "
        "own class, such as arcface, cosface, combined, normface, adaface or magface."
    )


def looks_at_own_class(kind: type[Head]) -> bool:
    """Whether heads of this class do nothing but put a margin on the own class."""
    shared = ("cosine", "logits", "loss", "predict")
    return issubclass(kind, CosineHead) and all(
        getattr(kind, name) is getattr(CosineHead, name) for name in shared
    )


def unit(embeddings: Tensor, head: CosineHead) -> Tensor:
    """Embeddings (b, dim) of length one, as precise as the head's centres."""
    return functional.normalize(embeddings.to(torch.promote_types(embeddings.dtype, head.weight.dtype)))


def entropy(head: CosineHead, walked: Walked, embeddings: Tensor) -> Tensor:
    """The loss from the other classes' log-sum-exp and the own cosines: mean log(1 + exp(o - t))."""
    target = head.scale * head.target(walked.cosine[:, None].clamp(-1.0, 1.0), embeddings)[:, 0]
    return -functional.logsigmoid(target - walked.others).mean() + head.penalty(embeddings)


def walk(
    embeddings: Tensor, weight: Tensor, labels: Tensor, scale: float, index: Tensor | None = None
) -> Walked:
    """What a walk over all classes finds.

    `embeddings` (b, dim) have length one, `weight` (classes, dim) any; `index` (k,) picks its rows, each once.
    `labels` count within the picked rows; one that is negative belongs to none of them: all classes are others,
    and the own cosine is 0.
    """
    return Walked(*_Walk.apply(embeddings, weight, labels, scale, index))


def nearest(embeddings: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Greatest cosine (b,) of unit `embeddings` (b, dim) to rows of `weight`, and int64 which row it is (b,)."""
    best = embeddings.new_full((len(embeddings),), -torch.inf)
    which = torch.zeros(len(embeddings), dtype=torch.int64, device=embeddings.device)
    for start, rows in _blocks(embeddings, weight, None):
        found, column = (embeddings @ functional.normalize(weight[rows]).T).max(1)
        which = torch.where(found > best, column + start, which)
        best = torch.maximum(found, best)
    return best, which


class _Walk(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, embeddings: Tensor, weight: Tensor, labels: Tensor, scale: float, index: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        query = scale * embeddings
        others = query.new_full((len(query),), -torch.inf)
        nearest = others.clone()
        cosine = query.new_zeros(len(query))
        for start, rows in _blocks(query, weight, index):
            logits = query @ functional.normalize(weight[rows]).T
            column, inside = _own(labels, start, logits)
            mine = logits.gather(1, column)
            cosine = torch.where(inside, mine, cosine[:, None])[:, 0]
            logits.scatter_(1, column, mine.masked_fill(inside, -torch.inf))
            others = torch.logaddexp(others, logits.logsumexp(1))
            nearest = torch.maximum(nearest, logits.amax(1))
        nearest = nearest / scale
        ctx.save_for_backward(embeddings, weight, labels, index, others)
        ctx.scale = scale
        ctx.mark_non_differentiable(nearest)
        return others, cosine / scale, nearest

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, slope_others: Tensor, slope_cosine: Tensor, unused: Tensor
    ) -> tuple[Tensor | None, ...]:
        embeddings, weight, labels, index, others = ctx.saved_tensors
        with torch.autocast(embeddings.device.type, enabled=False):
            query = ctx.scale * embeddings
            # Where there are no other classes their log-sum-exp is -inf, which must not meet another.
            shift = -others.clamp_min(torch.finfo(others.dtype).min)[:, None]
            factor = (ctx.scale * slope_others)[:, None]
            by_embeddings = torch.zeros_like(embeddings)
            by_weight = torch.empty_like(weight) if index is None else torch.zeros_like(weight)
            for start, rows in _blocks(query, weight, index):
                raw = weight[rows]
                length = raw.norm(dim=1, keepdim=True).clamp_min_(_SHORTEST)
                centres = raw / length
                slopes = torch.addmm(shift, query, centres.T).exp_().mul_(factor)  # by the cosines
                column, inside = _own(labels, start, slopes)
                mine = torch.where(inside, slope_cosine[:, None], slopes.gather(1, column))
                slopes.scatter_(1, column, mine)
                by_embeddings.addmm_(slopes, centres)
                by_centres = slopes.T @ embeddings
                along = (by_centres * centres).sum(1, keepdim=True)
                by_weight[rows] = by_centres.addcmul_(centres, along, value=-1.0).div_(length)
        return by_embeddings, by_weight, None, None, None


def _own(labels: Tensor, start: int, block: Tensor) -> tuple[Tensor, Tensor]:
    """Column (b, 1) of the own class in a block (b, k) that begins at `start`, and whether it is there (b, 1)."""
    column = labels[:, None] - start
    inside = (column >= 0) & (column < block.shape[1]) & (labels[:, None] >= 0)
    return column.clamp(0, block.shape[1] - 1), inside


def _blocks(embeddings: Tensor, weight: Tensor, index: Tensor | None) -> Iterator[tuple[int, Rows]]:
    """(first place, rows of `weight`) of every block of the classes."""
    count = len(weight) if index is None else len(index)
    size = block_size(len(embeddings), embeddings.shape[1], count, embeddings.is_cuda)
    for start in range(0, count, size):
        stop = min(start + size, count)
        yield start, slice(start, stop) if index is None else index[start:stop]


def block_size(batch: int, dim: int, classes: int, cuda: bool) -> int:
    """Classes a block, by the workspace they take."""
    numbers_a_class = 2 * batch + 4 * dim
    budget = int(_SHARE * batch * classes)
    return max(_FEWEST, (budget if cuda else min(budget, _CACHED)) // numbers_a_class)
