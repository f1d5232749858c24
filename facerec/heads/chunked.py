"""Cross entropy over very many classes without holding their logits: a head that visits the class centres in chunks.

Let o_i be the log-sum-exp of row i's scaled cosines to all classes but its own, and t_i its scaled cosine to its own
class after the margin. The cross entropy of row i is log(1 + exp(o_i - t_i)), so a pass over the centres only has
to return o and the own cosines (b each); the head's own code adds the margin under autograd. The gradient needs the
softmax, which a second pass recomputes chunk by chunk as exp(s cos_ij - o_i). The workspace is a few chunks instead
of several (b, classes) and (classes, dim) tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from facerec.heads.base import CosineHead, Head, HeadWrapper, full_precision, require_margin_head

_SHORTEST = 1e-12  # length below which nothing is normalised, as in torch's own normalize
_SHARE = 0.04  # of the full logits that the workspace may take
_CACHED = 2**20  # numbers in the workspace on a CPU, at most: more would not fit its cache
_FEWEST = 256  # classes per chunk: with fewer, starting the kernels takes longer than running them
_FEWEST_CUDA = 8192


@dataclass(frozen=True)
class WalkResult:
    """The result of a pass over the class centres, for b faces.

    `others` and `cosine` carry exact gradients to the embeddings and the weight.

    Attributes:
        others: (b,) log-sum-exp of the scaled cosines to all classes but the own.
        cosine: (b,) cosine to the own class.
        nearest: (b,) largest cosine to another class, -inf if there is none.
    """

    others: Tensor
    cosine: Tensor
    nearest: Tensor

    def accuracy(self) -> Tensor:
        """Share of the faces nearest to their own class, a scalar."""
        return (self.cosine.detach() > self.nearest).double().mean()


class Chunked(HeadWrapper):
    """The loss of `head`, equal up to rounding, computed in chunks of classes.

    Its parameters, buffers and what it saves are those of `head`. Raises ParamsError for heads that need more than
    the own cosine and the embeddings, such as softmax, CurricularFace and Circle.

    >>> from facerec.heads.margins import CosFace
    >>> plain = CosFace(dim=16, classes=1000)
    >>> embeddings, labels = torch.randn(8, 16), torch.arange(8)
    >>> bool(torch.isclose(Chunked(plain)(embeddings, labels), plain(embeddings, labels), rtol=1e-4))
    True
    """

    head: CosineHead

    def __init__(self, head: Head) -> None:
        super().__init__(require_margin_head(head))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy, plus the head's penalty."""
        return self._walk(embeddings, labels)[0]

    def measure(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and accuracy from one pass."""
        with full_precision(embeddings) as precise:
            return self._walk(precise, labels)

    def _walk(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        unit = normalise(embeddings, self.head)
        walked = walk_centres(unit, self.head.weight, labels, self.head.scale)
        return cross_entropy(self.head, walked, embeddings), walked.accuracy()

    @torch.no_grad()
    def predict(self, embeddings: Tensor) -> Tensor:
        """The class (b,) with the nearest centre, without margin; takes one more pass."""
        return nearest_centre(normalise(embeddings, self.head), self.head.weight)[1]


def normalise(embeddings: Tensor, head: CosineHead) -> Tensor:
    """Embeddings (b, dim) of length one, in at least the precision of the head's centres."""
    return functional.normalize(embeddings.to(torch.promote_types(embeddings.dtype, head.weight.dtype)))


def cross_entropy(head: CosineHead, walked: WalkResult, embeddings: Tensor) -> Tensor:
    """The loss from the result of a pass: mean log(1 + exp(o - t)), plus the penalty."""
    target = head.scale * head.target(walked.cosine[:, None].clamp(-1.0, 1.0), embeddings)[:, 0]
    return -functional.logsigmoid(target - walked.others).mean() + head.penalty(embeddings)


def walk_centres(embeddings: Tensor, weight: Tensor, labels: Tensor, scale: float) -> WalkResult:
    """Visit all class centres once, chunk by chunk.

    Args:
        embeddings: (b, dim) of length one.
        weight: (classes, dim) of any length.
        labels: (b,) rows of `weight`; negative if the own class is not among them: all classes are others then, and
            the own cosine is 0.
        scale: factor of the cosines.
    """
    return WalkResult(*_Walk.apply(embeddings, weight, labels, scale))


def nearest_centre(embeddings: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Largest cosine (b,) of unit `embeddings` (b, dim) to a row of `weight`, and the int64 index (b,) of that row."""
    best = embeddings.new_full((len(embeddings),), -torch.inf)
    which = torch.zeros(len(embeddings), dtype=torch.int64, device=embeddings.device)
    for start, rows in _chunks(embeddings, weight):
        found, column = (embeddings @ functional.normalize(weight[rows]).T).max(1)
        which = torch.where(found > best, column + start, which)
        best = torch.maximum(found, best)
    return best, which


class _Walk(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, embeddings: Tensor, weight: Tensor, labels: Tensor, scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        query = scale * embeddings
        others = query.new_full((len(query),), -torch.inf)
        nearest = others.clone()
        cosine = query.new_zeros(len(query))
        for start, rows in _chunks(query, weight):
            logits = query @ functional.normalize(weight[rows]).T
            column, inside = _own_column(labels, start, logits)
            mine = logits.gather(1, column)
            cosine = torch.where(inside, mine, cosine[:, None])[:, 0]
            logits.scatter_(1, column, mine.masked_fill(inside, -torch.inf))
            others = torch.logaddexp(others, logits.logsumexp(1))
            nearest = torch.maximum(nearest, logits.amax(1))
        nearest = nearest / scale
        ctx.save_for_backward(embeddings, weight, labels, others)
        ctx.scale = scale
        ctx.mark_non_differentiable(nearest)
        return others, cosine / scale, nearest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope_others: Tensor, slope_cosine: Tensor, unused: Tensor) -> tuple[Tensor | None, ...]:
        embeddings, weight, labels, others = ctx.saved_tensors
        with torch.autocast(embeddings.device.type, enabled=False):
            query = ctx.scale * embeddings
            # Without other classes their log-sum-exp is -inf, and -inf - (-inf) would be NaN.
            shift = -others.clamp_min(torch.finfo(others.dtype).min)[:, None]
            factor = (ctx.scale * slope_others)[:, None]
            by_embeddings = torch.zeros_like(embeddings)
            by_weight = torch.empty_like(weight)
            for start, rows in _chunks(query, weight):
                raw = weight[rows]
                length = raw.norm(dim=1, keepdim=True).clamp_min_(_SHORTEST)
                centres = raw / length
                slopes = torch.addmm(shift, query, centres.T).exp_().mul_(factor)  # by the cosines
                column, inside = _own_column(labels, start, slopes)
                mine = torch.where(inside, slope_cosine[:, None], slopes.gather(1, column))
                slopes.scatter_(1, column, mine)
                by_embeddings.addmm_(slopes, centres)
                by_centres = slopes.T @ embeddings
                along = (by_centres * centres).sum(1, keepdim=True)
                by_weight[rows] = by_centres.addcmul_(centres, along, value=-1.0).div_(length)
        return by_embeddings, by_weight, None, None


def _own_column(labels: Tensor, start: int, chunk: Tensor) -> tuple[Tensor, Tensor]:
    """Column (b, 1) of the own class in a chunk (b, k) that begins at `start`, and whether it is in there (b, 1)."""
    column = labels[:, None] - start
    inside = (column >= 0) & (column < chunk.shape[1]) & (labels[:, None] >= 0)
    return column.clamp(0, chunk.shape[1] - 1), inside


def _chunks(embeddings: Tensor, weight: Tensor) -> Iterator[tuple[int, slice]]:
    """(position of its first class, rows of `weight`) of every chunk of the classes."""
    size = chunk_size(len(embeddings), embeddings.shape[1], len(weight), embeddings.is_cuda)
    for start in range(0, len(weight), size):
        yield start, slice(start, start + size)


def chunk_size(batch: int, dim: int, classes: int, cuda: bool) -> int:
    """Number of classes per chunk, from the workspace they take; on a GPU 8k to 16k, which fill it."""
    numbers_per_class = 2 * batch + 4 * dim
    budget = int(_SHARE * batch * classes)
    if cuda:
        return min(max(_FEWEST_CUDA, budget // numbers_per_class), 2 * _FEWEST_CUDA)
    return max(_FEWEST, min(budget, _CACHED) // numbers_per_class)
