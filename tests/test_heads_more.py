"""The heads beyond the margin family: each against its published numbers or its formula written out plainly."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from facerec import heads
from facerec.core import ParamsError
from facerec.heads.margins import AdaFace
from facerec.heads.pairwise import mine_triplets

GOLDEN = json.loads((Path(__file__).parent / "golden" / "multiface_heads.json").read_text())
SLICED = {
    "arc": {"slices": 1, "inner": "arcface", "margin": 0.5},
    "marc2": {"slices": 2, "inner": "arcface", "margin": 0.3},
    "msoft4": {"slices": 4, "inner": "normface"},
}


def batch(rows: int = 6, dim: int = 8, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings (rows, dim) float64 of lengths around 20, and their labels."""
    generator = torch.Generator().manual_seed(5)
    embeddings = 7 * torch.randn(rows, dim, dtype=torch.float64, generator=generator)
    return embeddings, torch.arange(rows) % classes


def built(name: str, **options: object) -> heads.CosineHead:
    torch.manual_seed(1)
    head = heads.build_head(name, 8, 3, **options).double()
    assert isinstance(head, heads.CosineHead)
    torch.nn.init.normal_(head.weight)
    return head


@pytest.mark.parametrize("case", SLICED)
def test_multiface_is_that_of_the_published_code(case: str) -> None:
    golden = GOLDEN["heads"][case]
    embeddings, labels = torch.tensor(GOLDEN["x"]), torch.tensor(GOLDEN["y"])
    head = heads.build_head("multiface", 16, 7, scale=64.0, **SLICED[case])
    head.weight.data = torch.stack([torch.tensor(w).T for w in golden["weights"].values()]).contiguous()
    assert torch.allclose(head.logits(embeddings, labels), torch.tensor(golden["logits"]), atol=5e-5, rtol=0)
    assert float(head(embeddings, labels).detach()) == pytest.approx(golden["loss"], abs=2e-4)


def test_renormalised_slices_reach_cosine_one() -> None:
    head = heads.build_head("multiface", 8, 3, slices=4, renormalise=True).double()
    embeddings, labels = batch()
    with torch.no_grad():
        head.weight[:, 0] = embeddings[0].view(4, 2)
    cosine = head.cosine(embeddings)
    assert torch.allclose(cosine[:, 0, 0], torch.ones(4, dtype=torch.float64))
    smooth, labels = embeddings[1:].requires_grad_(), labels[1:]  # at a cosine of one, differences are no gradients
    assert torch.autograd.gradcheck(lambda x: head(x, labels), (smooth,))


@pytest.mark.parametrize("steps", [0, 50, 100_000])
def test_sphereface_follows_its_formula(steps: int) -> None:
    head = built("sphereface")
    head.steps.fill_(steps)
    embeddings, labels = batch()
    logits = head.logits(embeddings, labels).detach()
    easing = max(5.0, 1000 / (1 + 0.12 * steps))
    for row, label in enumerate(labels.tolist()):
        x, w = embeddings[row].numpy(), head.weight[label].detach().numpy()
        theta = math.acos(x @ w / np.linalg.norm(x) / np.linalg.norm(w))
        k = math.floor(4 * theta / math.pi)
        psi = (-1) ** k * math.cos(4 * theta) - 2 * k
        expected = np.linalg.norm(x) * (easing * math.cos(theta) + psi) / (1 + easing)
        assert float(logits[row, label]) == pytest.approx(expected, rel=1e-7)


def test_sphereface_eases_in_while_training_only() -> None:
    head = built("sphereface")
    embeddings, labels = batch()
    head(embeddings, labels)
    with torch.no_grad():
        head(embeddings, labels)
    head.eval()(embeddings, labels)
    assert int(head.steps) == 1


def test_subcenter_takes_the_nearest_centre_of_a_class() -> None:
    head = built("subcenter-arcface", centres=4)
    assert head.weight.shape == (12, 8)
    embeddings, _ = batch()
    all_cosines = functional.cosine_similarity(embeddings[:, None], head.weight[None], dim=2)
    assert torch.allclose(head.cosine(embeddings), all_cosines.view(6, 3, 4).max(2).values)


def test_adacos_sets_its_scale_by_the_batch() -> None:
    head = built("adacos")
    before = float(head.current)
    assert before == pytest.approx(math.sqrt(2) * math.log(2))
    embeddings, labels = batch()
    cosine = head.cosine(embeddings).detach().numpy()
    head(embeddings, labels)
    others = [
        sum(math.exp(before * c[j]) for j in range(3) if j != y) for c, y in zip(cosine, labels.tolist(), strict=True)
    ]
    angles = sorted(math.acos(c[y]) for c, y in zip(cosine, labels.tolist(), strict=True))
    expected = math.log(np.mean(others)) / math.cos(min(math.pi / 4, angles[2]))  # torch's median: the lower one
    assert float(head.current) == pytest.approx(max(expected, 1.0), rel=1e-6)


def test_curricularface_reweights_hard_negatives_only() -> None:
    head = built("curricularface", scale=1.0).eval()
    head.stage.fill_(0.3)
    embeddings, labels = batch()
    cosine, logits = head.cosine(embeddings).detach(), head.logits(embeddings, labels).detach()
    for row, label in enumerate(labels.tolist()):
        bound = float(logits[row, label])
        for other in {0, 1, 2} - {label}:
            c = float(cosine[row, other])
            assert float(logits[row, other]) == pytest.approx(c * (0.3 + c) if c > bound else c, abs=1e-12)
    head.train()(embeddings, labels)
    own = cosine[torch.arange(6), labels].mean()
    assert float(head.stage) == pytest.approx(0.99 * 0.3 + 0.01 * float(own))


def test_adaface_gives_long_embeddings_the_larger_additive_margin() -> None:
    head = built("adaface", scale=1.0).eval()
    head.mean.fill_(20.0)
    head.deviation.fill_(5.0)
    embeddings, labels = batch(rows=1)
    unit = functional.normalize(embeddings)
    theta = float(head.cosine(unit)[0, 0].detach().acos())
    for length, z in ((20.0, 0.0), (60.0, 1.0), (1.0, -1.0), (27.5, 7.5 / 5.001 * 0.333)):
        expected = math.cos(theta - 0.4 * z) - 0.4 * (1 + z)
        assert float(head.logits(length * unit, labels)[0, 0].detach()) == pytest.approx(expected, abs=1e-9)


def test_adaface_gradients_are_true_for_a_given_quality(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AdaFace, "_quality", lambda self, x: torch.linspace(-1, 1, len(x), dtype=x.dtype)[:, None])
    embeddings, labels = batch()
    assert torch.autograd.gradcheck(lambda x: built("adaface", scale=4.0)(x, labels), (embeddings.requires_grad_(),))


def test_magface_margin_grows_with_length_and_draws_lengths_outward() -> None:
    head = built("magface", scale=1.0)
    embeddings, labels = batch(rows=1)
    unit = functional.normalize(embeddings)
    theta = float(head.cosine(unit)[0, 0].detach().acos())
    for length, margin in ((5.0, 0.45), (60.0, 0.625), (300.0, 0.8)):
        expected = (
            math.cos(theta + margin) if theta + margin <= math.pi else math.cos(theta) - margin * math.sin(margin)
        )
        assert float(head.logits(length * unit, labels)[0, 0].detach()) == pytest.approx(expected, abs=1e-9)
    length = torch.tensor(40.0, dtype=torch.float64)
    extra = head(length * unit, labels) - functional.cross_entropy(head.logits(length * unit, labels), labels)
    assert float(extra.detach()) == pytest.approx(20 * (40 / 110**2 + 1 / 40))


def test_magface_has_its_published_easy_margin() -> None:
    plain, easy = built("magface", scale=1.0), built("magface", scale=1.0, easy_margin=True)
    easy.load_state_dict(plain.state_dict())
    embeddings = torch.cat([plain.weight[:1] + 0.3 * plain.weight[1:2], -plain.weight[:1] + 0.3 * plain.weight[1:2]])
    embeddings, labels = 60 * functional.normalize(embeddings.detach()), torch.tensor([0, 0])
    near, far = plain.cosine(embeddings)[:, 0].detach()
    assert near > 0 > far
    expected = torch.stack([torch.cos(near.acos() + 0.625), far])
    torch.testing.assert_close(easy.logits(embeddings, labels)[:, 0].detach(), expected)
    assert plain.logits(embeddings, labels)[1, 0] < far


def test_circle_has_the_gradient_of_the_paper() -> None:
    head = built("circle", scale=16.0)
    embeddings, labels = batch(rows=1)
    logits = head.logits(embeddings, labels)[0]
    cosine = head.cosine(embeddings)[0].detach()
    for column, c in enumerate(cosine.tolist()):
        expected = 16 * (max(1.25 - c, 0) * (c - 0.75) if column == 0 else max(c + 0.25, 0) * (c - 0.25))
        assert float(logits[column].detach()) == pytest.approx(expected, abs=1e-9)
    point = cosine.clone().requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(head), "cosine", lambda self, x: point[None])
        head.logits(embeddings, labels)[0, 1].backward()
    assert float(point.grad[1]) == pytest.approx(16 * max(float(cosine[1]) + 0.25, 0))


def test_uniface_is_binary_cross_entropy_at_one_threshold() -> None:
    head = built("uniface", scale=8.0, margin=0.3, balance=0.5)
    assert float(head.bias.detach()) == pytest.approx(math.log(30))
    embeddings, labels = batch()
    cosine = head.cosine(embeddings).detach()
    total = 0.0
    for row, label in enumerate(labels.tolist()):
        for column in range(3):
            score = 8 * float(cosine[row, column]) - (8 * 0.3 if column == label else 0) - math.log(30)
            total += math.log1p(math.exp(-score)) if column == label else 0.5 * math.log1p(math.exp(score))
    assert float(head(embeddings, labels).detach()) == pytest.approx(total / 6, rel=1e-6)


@pytest.mark.parametrize("metric", ["euclidean", "angular"])
def test_triplets_are_semi_hard_and_one_a_pair(metric: str) -> None:
    torch.manual_seed(0)
    head = heads.build_head("triplet", 4, 2, metric=metric)
    embeddings, labels = torch.randn(40, 4), torch.arange(40) % 8
    distances = head.distances(embeddings)
    anchor, positive, negative = mine_triplets(distances, labels, head.m)
    assert len(anchor) > 20
    assert (labels[anchor] == labels[positive]).all()
    assert (labels[anchor] != labels[negative]).all()
    gap = distances[anchor, negative] - distances[anchor, positive]
    assert ((gap > 0) & (gap < head.m)).all()
    pairs = {(int(a), int(p)) for a, p in zip(anchor, positive, strict=True)}
    assert len(pairs) == len(anchor)


def test_triplet_loss_and_gradient() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [math.cos(0.5), math.sin(0.5)], [math.cos(0.6), -math.sin(0.6)]])
    labels = torch.tensor([4, 4, 9])
    head = heads.build_head("triplet", 2, 10)
    near, far = 2 - 2 * math.cos(0.5), 2 - 2 * math.cos(0.6)
    assert float(head(embeddings, labels).detach()) == pytest.approx(near - far + 0.3, abs=1e-6)
    assert float(head.accuracy(embeddings, labels)) == pytest.approx(2 / 3)
    alone = head(embeddings.requires_grad_(), torch.tensor([1, 2, 3]))
    alone.backward()
    assert float(alone.detach()) == 0
    assert (embeddings.grad == 0).all()


@pytest.mark.parametrize("name", sorted(heads.HEADS))
def test_every_head_works_inside_autocast_and_learns(name: str) -> None:
    torch.manual_seed(3)
    layer, head = torch.nn.Linear(6, 8), heads.build_head(name, 8, 4)
    inputs, labels = (torch.randn(4, 6).repeat_interleave(4, 0) + 0.2 * torch.randn(16, 6), torch.arange(16) // 4)
    optimiser = torch.optim.SGD([*layer.parameters(), *head.parameters()], lr=0.02, momentum=0.9)
    losses = []
    for _ in range(60):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = head(10 * layer(inputs), labels)
        assert loss.dtype == torch.float32
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert min(losses[-10:]) < losses[0] or name == "adacos"  # whose scale grows with the angles it reaches
    assert float(head.accuracy(layer(inputs), labels)) == 1.0


def test_impossible_options_are_refused() -> None:
    for name, options, reason in (
        ("multiface", {"slices": 3}, "equal slices"),
        ("multiface", {"inner": "triplet"}, "inner heads"),
        ("triplet", {"metric": "cosine"}, "euclidean or angular"),
    ):
        with pytest.raises(ParamsError, match=reason):
            heads.build_head(name, 8, 3, **options)
