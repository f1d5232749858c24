"""The head that never holds its logits against the plain one: equal loss, gradients and predictions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from facerec import heads
from facerec.core import ParamsError
from facerec.heads import chunked

NAMES = ("arcface", "cosface", "normface", "combined", "adaface", "magface")
DIM, CLASSES, BATCH = 16, 1000, 24  # four chunks, the last of them short


def case(name: str, dtype: torch.dtype, classes: int = CLASSES) -> tuple[heads.Head, Tensor, Tensor]:
    """A head with centres far from unit length, embeddings (BATCH, DIM) and labels."""
    torch.manual_seed(2)
    head = heads.build_head(name, DIM, classes).to(dtype).eval()
    with torch.no_grad():
        head.weight.normal_(std=3.0)
    embeddings = 8 * torch.randn(BATCH, DIM, dtype=dtype)
    return head, embeddings.requires_grad_(), torch.randint(classes, (BATCH,))


def gradients(loss: heads.Head, head: heads.Head, embeddings: Tensor, labels: Tensor) -> list[Tensor]:
    """The loss, and its gradients by embeddings and centres."""
    value = loss(embeddings, labels)
    return [value.detach(), *torch.autograd.grad(value, [embeddings, head.weight])]


def assert_equal(ours: list[Tensor], plain: list[Tensor], tolerance: float) -> None:
    for one, other in zip(ours, plain, strict=True):
        assert one.dtype == other.dtype
        assert float((one - other).abs().max()) <= tolerance * float(other.abs().max())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_chunked_is_equal_to_plain(name: str, dtype: torch.dtype, tolerance: float) -> None:
    head, embeddings, labels = case(name, dtype)
    ours = chunked.Chunked(head)
    expected = gradients(head, head, embeddings, labels)
    assert_equal(gradients(ours, head, embeddings, labels), expected, tolerance)
    assert torch.equal(ours.predict(embeddings), head.predict(embeddings))
    assert torch.equal(ours.accuracy(embeddings, labels), head.accuracy(embeddings, labels))


@pytest.mark.parametrize("name", NAMES)
def test_chunked_is_equal_at_the_extremes(name: str) -> None:
    """Cosines of exactly 1 and -1, embeddings and centres of length 0."""
    head, embeddings, labels = case(name, torch.float64)
    with torch.no_grad():
        embeddings[0], embeddings[1] = head.weight[labels[0]], -head.weight[labels[1]]
        embeddings[2] = 0.0
        head.weight[labels[3]] = 0.0
        head.weight[(labels[4] + 1) % CLASSES] = 2 * embeddings[4]
    expected = gradients(head, head, embeddings, labels)
    ours = gradients(chunked.Chunked(head), head, embeddings, labels)
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-10 * float(other.abs().median() + 1))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 700), st.integers(1, 9), st.integers(1, 9), st.integers(0, 9))
def test_chunked_is_equal_for_any_sizes(classes: int, batch: int, dim: int, seed: int) -> None:
    torch.manual_seed(seed)
    head = heads.build_head("cosface", dim, classes).double()
    embeddings = torch.randn(batch, dim, dtype=torch.float64).requires_grad_()
    labels = torch.randint(classes, (batch,))
    expected = gradients(head, head, embeddings, labels)
    for one, other in zip(gradients(chunked.Chunked(head), head, embeddings, labels), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_chunked_gradients_are_true() -> None:
    head, embeddings, _ = case("cosface", torch.float64, classes=5)
    embeddings = embeddings[:3].detach().requires_grad_()
    weight = head.weight.detach().requires_grad_()

    def parts(embeddings: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        index = torch.tensor([0, 2, 3])
        unit = torch.nn.functional.normalize(embeddings)
        walked = chunked.walk_centres(unit, weight[index], torch.tensor([1, -1, 2]), 4.0)
        return walked.others, walked.cosine

    assert torch.autograd.gradcheck(parts, (embeddings, weight))


@pytest.mark.parametrize("name", NAMES)
def test_loss_and_accuracy_of_one_walk_are_those_of_two(name: str) -> None:
    head, embeddings, labels = case(name, torch.float64)
    head.eval()
    with torch.no_grad():
        labels[::2] = head.predict(embeddings)[::2]  # half of them right
    loss, right = chunked.Chunked(head).measure(embeddings, labels)
    torch.testing.assert_close(loss, head(embeddings, labels))
    assert float(right) == float(head.accuracy(embeddings, labels)) >= 0.5
    assert not right.requires_grad


def test_chunked_runs_in_full_precision_inside_autocast() -> None:
    head, embeddings, labels = case("arcface", torch.float32)
    expected = gradients(head, head, embeddings, labels)
    with torch.autocast("cpu", torch.bfloat16):  # forward and backward
        assert_equal(gradients(chunked.Chunked(head), head, embeddings, labels), expected, 1e-5)
    half = embeddings.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = chunked.Chunked(head)(half, labels)
    loss.backward()
    assert loss.dtype == torch.float32
    assert half.grad is not None
    assert half.grad.isfinite().all()


@pytest.mark.parametrize("name", ["adaface", "arcface"])
def test_chunked_trains_as_plain_does(name: str) -> None:
    """Statistics that heads keep of the batches included."""
    states = []
    for wrap in (lambda head: head, chunked.Chunked):
        head, embeddings, labels = case(name, torch.float64)
        wrapped = wrap(head.train())
        steps = torch.optim.SGD(wrapped.parameters(), lr=0.1, momentum=0.9)
        for number in range(3):
            steps.zero_grad()
            wrapped(embeddings.detach() * (number + 1), labels).backward()
            steps.step()
        states.append(wrapped.saved(steps))
    for part in ("head", "rows"):
        assert list(states[0][part]) == list(states[1][part])
        torch.testing.assert_close(states[1][part], states[0][part], rtol=1e-10, atol=1e-10)


def test_chunked_state_is_that_of_the_plain_head() -> None:
    head, embeddings, labels = case("adaface", torch.float64)
    other = chunked.Chunked(heads.build_head("adaface", DIM, CLASSES).double().eval())
    steps = [torch.optim.SGD(each.parameters(), lr=0.1) for each in (head, other)]
    other.load_saved(head.saved(steps[0]), steps[1])
    assert torch.allclose(other(embeddings, labels), head(embeddings, labels), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", sorted(set(heads.HEADS) - set(NAMES)))
def test_heads_that_need_all_cosines_are_refused(name: str) -> None:
    with pytest.raises(ParamsError, match="such as arcface"):
        chunked.Chunked(heads.build_head(name, DIM, CLASSES))


@pytest.mark.parametrize("batch", [64, 128, 512])
@pytest.mark.parametrize("dim", [128, 512])
def test_chunks_take_at_most_a_twentieth_of_the_logits(batch: int, dim: int) -> None:
    size = chunked.chunk_size(batch, dim, 200_000, cuda=False)
    assert size * (2 * batch + 4 * dim) <= 0.05 * batch * 200_000


@pytest.mark.parametrize("classes", [10_000, 93_000, 1_000_000, 10_000_000])
def test_chunks_fill_a_gpu(classes: int) -> None:
    assert 8192 <= chunked.chunk_size(1024, 512, classes, cuda=True) <= 16384
