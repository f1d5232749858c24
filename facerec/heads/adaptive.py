"""Softmax losses whose scale or margin follows the training or the quality of a face.

adacos, curricularface, adaface and magface. theta is the angle between an embedding and a class centre.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from facerec.heads.base import CosineHead, angle_of, own_cosine, replace_own
from facerec.heads.margins import ArcFace, add_to_angle


class AdaCos(CosineHead):
    """Logits s cos(theta) without margin; every training step sets s from its own batch.

    Source: Zhang, Zhao, Qiao, Wang, Li, "AdaCos: Adaptively Scaling Cosine Logits for Effectively Learning Deep
    Face Representations", 2019, equations 12 (the initial scale) and 15 (its update).
    """

    current: Tensor

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__(dim, classes, scale=1.0)
        self.register_buffer("current", torch.tensor(math.sqrt(2.0) * math.log(max(classes - 1, 2))))

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Scaled cosines (b, classes)."""
        cosine = self.cosine(embeddings)
        if self.training and torch.is_grad_enabled():
            self._update_scale(cosine.detach(), labels)
        return self.current * cosine

    def _update_scale(self, cosine: Tensor, labels: Tensor) -> None:
        """s = log(B) / cos(median angle), B the batch mean of the other classes' sum of exp(s cos)."""
        target = own_cosine(cosine, labels)
        others = (self.current * cosine).scatter(1, labels[:, None], -torch.inf)
        log_b = others.logsumexp(1).logsumexp(0) - math.log(len(labels))
        middle = angle_of(target).median().clamp(max=math.pi / 4)
        self.current.copy_((log_b / middle.cos()).clamp_min(1.0))


class CurricularFace(ArcFace):
    """ArcFace with cos (t + cos) for hard negatives; t, the buffer `stage`, follows the batch mean of the own cosines.

    A negative is hard if its cosine exceeds cos(theta + m) of the own class. Source: Huang et al., "CurricularFace:
    Adaptive Curriculum Learning Loss for Deep Face Recognition", 2020, equations 8 and 10.
    """

    stage: Tensor

    def __init__(
        self, dim: int, classes: int, scale: float = 64.0, margin: float = 0.5, momentum: float = 0.01
    ) -> None:
        super().__init__(dim, classes, scale, margin)
        self.momentum = momentum
        self.register_buffer("stage", torch.zeros(()))

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(b, classes), hard negatives reweighted."""
        cosine = self.cosine(embeddings)
        target = own_cosine(cosine, labels)
        if self.training and torch.is_grad_enabled():
            self.stage.lerp_(target.detach().mean().to(self.stage.dtype), self.momentum)
        penalised = self.margin(target)
        reweighted = torch.where(cosine > penalised, cosine * (self.stage + cosine), cosine)
        return self.scale * replace_own(reweighted, labels, penalised)


_ADAFACE_EPSILON = 1e-3


class AdaFace(CosineHead):
    """Logits s (cos(theta - m z) - m (1 + z)) at the own class; z in [-1, 1] is the image quality.

    z is the length of the embedding relative to the running `mean` and `deviation` of lengths, which follow the
    batches with `momentum`; `concentration` is the paper's h. No gradient passes through z. Source: Kim, Jain, Liu,
    "AdaFace: Quality Adaptive Margin for Face Recognition", 2022, equations 13 to 15.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        dim: int,
        classes: int,
        scale: float = 64.0,
        margin: float = 0.4,
        concentration: float = 0.333,
        momentum: float = 0.01,
    ) -> None:
        super().__init__(dim, classes, scale)
        self.m, self.concentration, self.momentum = margin, concentration, momentum
        self.register_buffer("mean", torch.tensor(20.0))
        self.register_buffer("deviation", torch.tensor(100.0))

    def target(self, cosine: Tensor, embeddings: Tensor) -> Tensor:
        """cos(theta - m z) - m (1 + z), with the quality z of each row."""
        z = self._quality(embeddings.detach())
        bounded = (angle_of(cosine) - self.m * z).clamp(_ADAFACE_EPSILON, torch.pi - _ADAFACE_EPSILON)
        return bounded.cos() - self.m * (1.0 + z)

    def _quality(self, embeddings: Tensor) -> Tensor:
        """z (b, 1): distance of each length from the mean, in units of deviation / h, within [-1, 1]."""
        norms = embeddings.norm(dim=1, keepdim=True).clamp(0.001, 100.0)
        if self.training and torch.is_grad_enabled() and len(norms) > 1:
            self.mean.lerp_(norms.mean().to(self.mean.dtype), self.momentum)
            self.deviation.lerp_(norms.std().to(self.deviation.dtype), self.momentum)
        z: Tensor = (norms - self.mean) / (self.deviation + _ADAFACE_EPSILON) * self.concentration
        return z.clamp(-1.0, 1.0)


_MAGFACE_LENGTHS = (10.0, 110.0)  # range in which the margin grows
_MAGFACE_MARGINS = (0.45, 0.8)  # at its ends, radians


class MagFace(CosineHead):
    """ArcFace with a margin of .45 at length 10 to .8 at length 110, plus `regulariser` times g(length).

    The length of an embedding becomes a measure of quality: g(a) = a / 110^2 + 1 / a is smallest at the greatest
    length, which pulls easy faces there. Source: Meng, Zhao, Huang, Zhou, "MagFace: A Universal Representation for
    Face Recognition and Quality Assessment", 2021, equations 3 to 5.
    """

    def __init__(self, dim: int, classes: int, scale: float = 64.0, regulariser: float = 20.0) -> None:
        super().__init__(dim, classes, scale)
        self.regulariser = regulariser

    def target(self, cosine: Tensor, embeddings: Tensor) -> Tensor:
        """cos(theta + m), m from the length of each row."""
        (short, long), (low, high) = _MAGFACE_LENGTHS, _MAGFACE_MARGINS
        margins = low + (high - low) * (self._length(embeddings) - short) / (long - short)
        return add_to_angle(cosine, margins)

    def penalty(self, embeddings: Tensor) -> Tensor:
        """The regulariser of the lengths."""
        length = self._length(embeddings)
        return self.regulariser * (length / _MAGFACE_LENGTHS[1] ** 2 + 1.0 / length).mean()

    @staticmethod
    def _length(embeddings: Tensor) -> Tensor:
        """Lengths (b, 1) within the bounds."""
        lengths: Tensor = embeddings.norm(dim=1, keepdim=True)
        return lengths.clamp(*_MAGFACE_LENGTHS)
