"""Softmax losses, mostly with a margin on the own class; the smallest classes to copy for a new head.

With a fixed margin, or none: softmax, normface, cosface, arcface, combined, subcenter-arcface, sphereface, multiface.
With a scale or margin that follows the training or the quality of a face: adacos, curricularface, adaface, magface.
theta is the angle between an embedding and a class centre, s the scale, m the margin.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from facerec.core import ParamsError
from facerec.heads.base import CENTRE_STD, CosineHead, Head, angle_of, cosines_to, own_cosine, replace_own


class Softmax(CosineHead):
    """Plain softmax: logits W x + b, neither embeddings nor centres normalised."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__(dim, classes, scale=1.0)
        self.bias = nn.Parameter(torch.zeros(classes))

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """W x + b, (b, classes), whatever the `labels`."""
        embeddings = embeddings.to(torch.promote_types(embeddings.dtype, self.weight.dtype))
        return functional.linear(embeddings, self.weight, self.bias)

    @torch.no_grad()
    def predict(self, embeddings: Tensor) -> Tensor:
        """The class (b,) with the largest logit."""
        return self.logits(embeddings, embeddings).argmax(1)


class NormFace(CosineHead):
    """Logits s cos(theta)."""


class CosFace(CosineHead):
    """Logits s (cos(theta) - m) at the own class.

    Source: Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition", 2018, equation 4.
    """

    def __init__(self, dim: int, classes: int, scale: float = 64.0, margin: float = 0.35) -> None:
        super().__init__(dim, classes, scale)
        self.m = margin

    def margin(self, cosine: Tensor) -> Tensor:
        """cos(theta) - m."""
        return cosine - self.m


class ArcFace(CosineHead):
    """Logits s cos(theta + m) at the own class; m in radians.

    Source: Deng, Guo, Xue, Zafeiriou, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019,
    equation 3. Where theta + m exceeds pi, its published code continues with cos(theta) - m sin(m).
    """

    def __init__(self, dim: int, classes: int, scale: float = 64.0, margin: float = 0.5) -> None:
        super().__init__(dim, classes, scale)
        self.m = margin

    def margin(self, cosine: Tensor) -> Tensor:
        """cos(theta + m), or cos(theta) - m sin(m) where theta + m > pi."""
        return add_to_angle(cosine, torch.as_tensor(self.m, dtype=cosine.dtype, device=cosine.device))


def add_to_angle(cosine: Tensor, margin: Tensor) -> Tensor:
    """cos(theta + m), or cos(theta) - m sin(m) where theta + m > pi; m may differ from row to row."""
    theta = angle_of(cosine) + margin
    return torch.where(theta > math.pi, cosine - margin * margin.sin(), theta.cos())


class Combined(CosineHead):
    """Logits s (cos(m1 theta + m2) - m3) at the own class.

    Source: Deng et al., "ArcFace", 2019, equation 4. (1, m, 0) is ArcFace without its continuation beyond pi,
    (1, 0, m) is CosFace. The gradient is exact for every m1.
    """

    def __init__(
        self, dim: int, classes: int, scale: float = 64.0, m1: float = 1.0, m2: float = 0.3, m3: float = 0.2
    ) -> None:
        super().__init__(dim, classes, scale)
        self.m1, self.m2, self.m3 = m1, m2, m3

    def margin(self, cosine: Tensor) -> Tensor:
        """cos(m1 theta + m2) - m3."""
        return (self.m1 * angle_of(cosine) + self.m2).cos() - self.m3


class SubCenterArcFace(ArcFace):
    """ArcFace on the largest cosine to any of a class's `centres`, so that mislabelled faces get a centre of their own.

    `weight` is (classes * centres, dim). Source: Deng, Guo, Liu, Gong, Zafeiriou, "Sub-center ArcFace: Boosting Face
    Recognition by Large-Scale Noisy Web Faces", 2020, equation 2.
    """

    def __init__(self, dim: int, classes: int, scale: float = 64.0, margin: float = 0.5, centres: int = 3) -> None:
        super().__init__(dim, classes * centres, scale, margin)
        self.centres = centres

    def cosine(self, embeddings: Tensor) -> Tensor:
        """Cosines (b, classes) to the nearest centre of each class."""
        each = cosines_to(embeddings.to(self.weight.dtype), self.weight)
        return each.view(len(embeddings), -1, self.centres).amax(2)


_LAMBDA_START, _LAMBDA_DECAY, _LAMBDA_MIN = 1000.0, 0.12, 5.0


class SphereFace(CosineHead):
    """Logits |x| (lambda cos(theta) + (-1)^k cos(m theta) - 2k) / (1 + lambda) at the own class, |x| cos(theta) elsewhere.

    m is the `multiplier`; k counts the multiples of pi/m below theta, which makes the margin fall all the way from 0 to pi.
    The length of the embedding replaces the scale. Source: Liu et al., "SphereFace: Deep Hypersphere Embedding for
    Face Recognition", 2017, equation 7, with the annealing of its published code: lambda falls from 1000 to 5 as
    1000 / (1 + .12 t), where t is the buffer `steps`, the number of training steps.
    """

    steps: Tensor

    def __init__(self, dim: int, classes: int, multiplier: int = 4) -> None:
        super().__init__(dim, classes, scale=1.0)
        self.m = multiplier
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @property
    def easing(self) -> Tensor:
        """lambda, the weight of the plain cosine."""
        easing: Tensor = _LAMBDA_START / (1.0 + _LAMBDA_DECAY * self.steps)
        return easing.clamp_min(_LAMBDA_MIN)

    def margin(self, cosine: Tensor) -> Tensor:
        """(lambda cos(theta) + (-1)^k cos(m theta) - 2k) / (1 + lambda)."""
        theta = angle_of(cosine)
        k = (self.m * theta / math.pi).floor()
        psi = (1.0 - 2.0 * (k % 2)) * (self.m * theta).cos() - 2.0 * k
        eased: Tensor = (self.easing * cosine + psi) / (1.0 + self.easing)
        return eased

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(b, classes), scaled by the length of each embedding."""
        lengths: Tensor = embeddings.norm(dim=1, keepdim=True)
        return lengths * super().logits(embeddings, labels)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy; each training step lowers lambda for the next one."""
        result = super().loss(embeddings, labels)
        if self.training and torch.is_grad_enabled():
            self.steps += 1
        return result


MULTIFACE_INNER: dict[str, type[CosineHead]] = {"arcface": ArcFace, "cosface": CosFace, "normface": NormFace}
"""Heads whose margin MultiFace can use in its slices."""


class MultiFace(Head):
    """The sum of the cross entropies of `slices` of the embedding, each with its own centres and the `inner` margin.

    `weight` is (slices, classes, dim / slices). The whole embedding is normalised before it is cut; `renormalise`
    also gives every slice length one, so that its cosines reach one. Testing uses the whole embedding. Source: Xu
    et al., "MultiFace: A Generic Training Mechanism for Boosting Face Recognition Performance", 2021.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        scale: float = 64.0,
        margin: float | None = None,
        slices: int = 2,
        inner: str = "arcface",
        renormalise: bool = False,
    ) -> None:
        super().__init__()
        if slices < 1 or dim % slices:
            raise ParamsError(f"multiface cuts an embedding of {dim} in equal slices, which {slices} are not.")
        if inner not in MULTIFACE_INNER:
            raise ParamsError(f"multiface knows the inner heads {', '.join(MULTIFACE_INNER)}, not {inner!r}.")
        options = {} if inner == "normface" or margin is None else {"margin": margin}
        rules = MULTIFACE_INNER[inner](1, classes, scale, **options)
        self.scale, self.margin, self.renormalise = rules.scale, rules.margin, renormalise
        self.weight = nn.Parameter(torch.empty(slices, classes, dim // slices))
        nn.init.normal_(self.weight, std=CENTRE_STD)

    def cosine(self, embeddings: Tensor) -> Tensor:
        """Cosines (slices, b, classes), times the length of the slice unless renormalised."""
        whole = functional.normalize(embeddings.to(self.weight.dtype))
        parts = whole.view(len(whole), len(self.weight), -1).transpose(0, 1)
        if self.renormalise:
            parts = functional.normalize(parts, dim=2, eps=1e-6)
        cosine: Tensor = parts @ functional.normalize(self.weight, dim=2).transpose(1, 2)
        return cosine.clamp(-1.0, 1.0)

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(slices, b, classes), with the margin at `labels` (b,)."""
        parts = [
            replace_own(cosine, labels, self.margin(own_cosine(cosine, labels))) for cosine in self.cosine(embeddings)
        ]
        return self.scale * torch.stack(parts)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Sum over the slices of the mean cross entropy."""
        parts = self.logits(embeddings, labels)
        return torch.stack([functional.cross_entropy(part, labels) for part in parts]).sum()

    @torch.no_grad()
    def predict(self, embeddings: Tensor) -> Tensor:
        """The class (b,) with the largest sum of the slices' cosines."""
        return self.cosine(embeddings).sum(0).argmax(1)


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
    length, which pulls easy faces there. With `easy_margin`, the default of the published code, faces more than 90
    degrees from their centre have no margin; without it, the default here, theirs continues beyond pi as ArcFace's does.
    Source: Meng, Zhao, Huang, Zhou, "MagFace: A Universal Representation for Face Recognition and Quality Assessment",
    2021, equations 3 to 5.
    """

    def __init__(
        self, dim: int, classes: int, scale: float = 64.0, regulariser: float = 20.0, easy_margin: bool = False
    ) -> None:
        super().__init__(dim, classes, scale)
        self.regulariser, self.easy_margin = regulariser, easy_margin

    def target(self, cosine: Tensor, embeddings: Tensor) -> Tensor:
        """cos(theta + m), m from the length of each row."""
        (short, long), (low, high) = _MAGFACE_LENGTHS, _MAGFACE_MARGINS
        margins = low + (high - low) * (self._length(embeddings) - short) / (long - short)
        moved = add_to_angle(cosine, margins)
        return torch.where(cosine > 0, moved, cosine) if self.easy_margin else moved

    def penalty(self, embeddings: Tensor) -> Tensor:
        """The regulariser of the lengths."""
        length = self._length(embeddings)
        return self.regulariser * (length / _MAGFACE_LENGTHS[1] ** 2 + 1.0 / length).mean()

    @staticmethod
    def _length(embeddings: Tensor) -> Tensor:
        """Lengths (b, 1) within the bounds."""
        lengths: Tensor = embeddings.norm(dim=1, keepdim=True)
        return lengths.clamp(*_MAGFACE_LENGTHS)
