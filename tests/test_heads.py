"""Heads agree with published code, and their gradients with finite differences."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from facerec import heads
from facerec.core import ParamsError

GOLDEN = json.loads((Path(__file__).parent / "golden" / "margin_heads.json").read_text())
PUBLISHED = {
    "arc": ("arcface", {"scale": 32.0, "margin": 0.5}),
    "cos": ("cosface", {"scale": 30.0, "margin": 0.35}),
    "multi": ("combined", {"scale": 32.0, "m1": 1.0, "m2": 0.2, "m3": 0.35}),
}
EVERY = [
    ("softmax", {}),
    ("normface", {"scale": 8.0}),
    ("cosface", {"scale": 8.0}),
    ("arcface", {"scale": 8.0}),
    ("arcface", {"scale": 8.0, "margin": 1.2}),
    ("combined", {"scale": 8.0}),
    ("combined", {"scale": 8.0, "m1": 0.9, "m2": 0.4, "m3": 0.15}),
    ("combined", {"scale": 8.0, "m1": 1.2, "m2": 0.4, "m3": 0.0}),
    ("combined", {"scale": 8.0, "m1": 1.1, "m2": 0.0, "m3": 0.35}),
    ("sphereface", {}),
    ("sphereface", {"multiplier": 2}),
    ("subcenter-arcface", {"scale": 8.0}),
    ("adacos", {}),
    ("curricularface", {"scale": 8.0}),
    ("magface", {"scale": 8.0}),
    ("uniface", {"scale": 8.0}),
    ("multiface", {"scale": 8.0, "margin": 0.3}),
    ("multiface", {"scale": 8.0, "inner": "cosface"}),
]


def planted(head: heads.CosineHead, angles: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings at these angles from centre 0, and their labels."""
    first, second = torch.zeros(2, 8 if head.weight.ndim == 3 else head.weight.shape[1], dtype=head.weight.dtype)
    first[0], second[1] = 1, 1
    with torch.no_grad():
        if head.weight.ndim == 2:
            head.weight[0] = 3 * first
    rows = [2 * (math.cos(angle) * first + math.sin(angle) * second) for angle in angles]
    return torch.stack(rows), torch.zeros(len(angles), dtype=torch.int64)


@pytest.mark.parametrize("case", PUBLISHED)
def test_logits_and_loss_are_those_of_the_published_code(case: str) -> None:
    name, options = PUBLISHED[case]
    golden = GOLDEN[case]
    embeddings, weight, logits = (torch.tensor(golden[key]) for key in ("x", "W", "logits"))
    labels = torch.tensor(golden["y"])
    head = heads.build_head(name, weight.shape[1], len(weight), **options)
    head.weight.data = weight
    assert torch.allclose(head.logits(embeddings, labels), logits, atol=2e-5, rtol=0)
    assert float(head(embeddings, labels).detach()) == pytest.approx(golden["loss"], abs=1e-5)


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_gradients_agree_with_finite_differences(name: str, options: dict[str, float]) -> None:
    torch.manual_seed(2)
    head = heads.build_head(name, 8, 4, **options).double().eval()  # a training step moves what a head keeps
    torch.nn.init.normal_(head.weight)
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    embeddings = 8 * torch.randn(6, 8, dtype=torch.float64)
    centres = head.weight.detach()
    if centres.shape == (4, 8):
        embeddings[0] = -centres[0] + 0.02 * embeddings[0]  # theta + m > pi
        embeddings[1] = centres[1] + 0.002 * embeddings[1]  # theta near 0
    embeddings.requires_grad_()

    def loss(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        parameters = dict(head.named_parameters()) | {"weight": weight}
        result: torch.Tensor = torch.func.functional_call(head, parameters, (x, labels))
        return result

    assert torch.autograd.gradcheck(loss, (embeddings, head.weight.detach().clone().requires_grad_()))


@pytest.mark.parametrize(("name", "options"), EVERY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_loss_and_gradients_are_finite_at_the_poles(name: str, options: dict[str, float], dtype: torch.dtype) -> None:
    head = heads.build_head(name, 8, 3, **options)
    embeddings, labels = planted(head, [0.0, math.pi, 1e-4, math.pi - 1e-4])
    head.eval() if name == "adacos" else head.train()
    embeddings = embeddings.to(dtype).requires_grad_()
    loss = head(embeddings, labels)
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(torch.isfinite(t).all() for t in (loss, embeddings.grad, head.weight.grad))
    assert float(embeddings.grad.abs().max()) < 10


def test_arcface_continues_beyond_pi_with_a_smaller_cosine() -> None:
    head = heads.build_head("arcface", 4, 2, scale=1.0, margin=0.5).double()
    angles = [1.0, math.pi - 0.6, math.pi - 0.4, 3.1]
    embeddings, labels = planted(head, angles)
    expected = [math.cos(a + 0.5) for a in angles[:2]] + [math.cos(a) - 0.5 * math.sin(0.5) for a in angles[2:]]
    own = head.logits(embeddings, labels)[:, 0].detach().numpy()
    np.testing.assert_allclose(own, expected, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(angle=st.floats(0.01, 2.0), margin=st.floats(0.0, 1.0))
def test_combined_margin_contains_arcface_and_cosface(angle: float, margin: float) -> None:
    for name, options in (("arcface", {"m2": margin, "m3": 0.0}), ("cosface", {"m2": 0.0, "m3": margin})):
        single = heads.build_head(name, 4, 2, margin=margin).double()
        combined = heads.build_head("combined", 4, 2, m1=1.0, **options).double()
        combined.weight = single.weight
        embeddings, labels = planted(single, [angle])
        assert torch.allclose(single.logits(embeddings, labels), combined.logits(embeddings, labels), atol=1e-9)


def test_a_margin_changes_only_the_own_class_and_makes_it_harder() -> None:
    torch.manual_seed(0)
    embeddings, labels = torch.randn(6, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    own = functional.one_hot(labels, 3).bool()
    plain = heads.build_head("normface", 8, 3, scale=10.0)
    for name in ("cosface", "arcface", "combined"):
        head = heads.build_head(name, 8, 3, scale=10.0)
        head.weight = plain.weight
        change = head.logits(embeddings, labels) - plain.logits(embeddings, labels)
        assert (change[~own] == 0).all()
        assert (change[own] < 0).all()
        assert torch.equal(head.predict(embeddings), plain.logits(embeddings, labels).argmax(1))


def test_softmax_is_a_linear_layer() -> None:
    head = heads.build_head("softmax", 8, 3)
    torch.nn.init.normal_(head.bias)
    embeddings, labels = torch.randn(4, 8), torch.tensor([0, 1, 2, 0])
    expected = functional.linear(embeddings, head.weight, head.bias)
    assert torch.allclose(head.logits(embeddings, labels), expected)
    assert torch.equal(head.predict(embeddings), expected.argmax(1))


def test_impossible_heads_are_refused() -> None:
    with pytest.raises(ParamsError, match="known are adacos, adaface, arcface"):
        heads.build_head("hinge", 8, 3)
    with pytest.raises(ParamsError, match="takes scale, not margin"):
        heads.build_head("normface", 8, 3, margin=0.5)
    with pytest.raises(ParamsError, match="at least 2 classes"):
        heads.build_head("arcface", 8, 1)
    with pytest.raises(ParamsError, match="scale"):
        heads.build_head("arcface", 8, 3, scale=0.0)
