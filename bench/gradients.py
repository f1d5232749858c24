"""ArcFace's gradient: the true one, which ours is, beside the one that arcface_torch passes straight through arccos.

arcface_torch computes cos(theta + m) without recording it, so its gradient is that of the plain cosine: the factor
sin(theta + m) / sin(theta) of the embedding's own class is missing. Its logit also keeps falling where theta + m > pi
is passed and then rises again; ours continues as cos(theta) - m sin(m). Both are compared at one loss, for embeddings
at several angles from their centre.
"""

from __future__ import annotations

import math

import facerec

facerec.use_portable_arithmetic()

import torch
from torch.nn import functional

DIM, CLASSES, ROWS, SCALE, MARGIN = 128, 1000, 256, 64.0, 0.5
ANGLES = (20, 40, 60, 80, 90, 120, 150, 155, 170)


def placed(head: torch.nn.Module, angle: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(ROWS, DIM) embeddings of length 1 at `angle` degrees from the centres of their labels."""
    torch.manual_seed(1)
    labels = torch.randint(0, CLASSES, (ROWS,))
    centres = functional.normalize(head.weight.detach()[labels])
    aside = torch.randn(ROWS, DIM, dtype=torch.float64)
    aside = functional.normalize(aside - (aside * centres).sum(1, keepdim=True) * centres)
    turned = math.radians(angle)
    return math.cos(turned) * centres + math.sin(turned) * aside, labels


def straight_through(head: torch.nn.Module, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The loss whose value has the margin and whose gradient does not."""
    cosine = head.cosine(embeddings)
    own = cosine.gather(1, labels[:, None])
    moved = (own.detach().clamp(-1, 1).acos() + MARGIN).cos()
    logits = cosine.scatter(1, labels[:, None], own + (moved - own).detach())
    return functional.cross_entropy(SCALE * logits, labels)


def gradient(loss: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
    """Gradient of the embeddings."""
    return torch.autograd.grad(loss, embeddings)[0]


def main() -> None:
    torch.manual_seed(0)
    head = facerec.head("arcface", dim=DIM, classes=CLASSES, scale=SCALE, margin=MARGIN).double()
    print(f"ArcFace, s {SCALE:g}, m {MARGIN}, {CLASSES} classes, {ROWS} embeddings of {DIM} numbers")
    print("degrees  own logit ours / theirs   |theirs - ours| / |ours|   cosine between the gradients")
    for angle in ANGLES:
        embeddings, labels = placed(head, angle)
        embeddings.requires_grad_()
        ours = gradient(head(embeddings, labels), embeddings)
        theirs = gradient(straight_through(head, embeddings, labels), embeddings)
        logits = head.logits(embeddings, labels).gather(1, labels[:, None]).mean() / SCALE
        other = math.cos(math.radians(angle) + MARGIN)
        apart = float((theirs - ours).norm() / ours.norm())
        alike = float(functional.cosine_similarity(theirs.flatten(), ours.flatten(), dim=0))
        print(f"{angle:7}  {float(logits.detach()):8.3f} / {other:6.3f}  {apart:22.3f}  {alike:28.3f}")


if __name__ == "__main__":
    main()
