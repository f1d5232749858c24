"""Heads split over gloo processes against the plain head in one process, and Partial FC's sampling."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from facerec import distributed, heads
from facerec.core import ParamsError
from facerec.heads.sharded import Replicated, Sharded, initial_centres, sample_classes
from tests.processes import CPU, Answer, together

DIM, CLASSES, BATCH, STEPS = 6, 11, 8, 3
NAMES = ("arcface", "cosface", "normface", "combined", "adaface", "magface")


def faces(step: int) -> tuple[Tensor, Tensor]:
    """Inputs (BATCH, DIM) of the global batch of a step, and labels that repeat and leave classes out."""
    generator = torch.Generator().manual_seed(step)
    inputs = 5 * torch.randn(BATCH, DIM, dtype=torch.float64, generator=generator)
    return inputs, torch.randint(CLASSES, (BATCH,), generator=generator)


def mine(step: int) -> tuple[Tensor, Tensor]:
    """This process's part of the batch."""
    share = distributed.local_batch(BATCH)
    own = slice(distributed.rank() * share, (distributed.rank() + 1) * share)
    inputs, labels = faces(step)
    return inputs[own], labels[own]


def build_sharded(name: str, dim: int, classes: int, rate: float = 1.0, seed: int = 0) -> Sharded:
    held = heads.classes_held(heads.HEADS[name], classes)
    return Sharded(heads.build_head(name, dim, held), classes, rate, seed)


def network() -> nn.Linear:
    """A stand-in for the backbone; unequal on the processes until rank 0's is broadcast."""
    torch.manual_seed(distributed.rank())
    made = nn.Linear(DIM, DIM).double()
    distributed.broadcast_module(made)
    return made


def optimiser(kind: str, *modules: nn.Module) -> Optimizer:
    parameters = [parameter for module in modules for parameter in module.parameters()]
    if kind == "adamw":
        return AdamW(parameters, lr=0.05, weight_decay=0.1)
    return SGD(parameters, lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)


def train(head: heads.Head, body: nn.Module, steps: Optimizer, numbers: range, accumulate: int = 1) -> list[float]:
    """The losses of some steps."""
    losses, summed = [], distributed.GradientSum(body.parameters())
    for number in numbers:
        inputs, labels = mine(number)
        loss = head(body(inputs), labels)
        if (number + 1) % accumulate == 0:
            summed.begin()
        loss.backward()
        losses.append(loss.item())
        if (number + 1) % accumulate == 0:
            summed.finish()
            steps.step()
            steps.zero_grad()
    return losses


def trained(name: str, kind: str) -> Answer:
    """Some steps of the split head from the plain head's centres; what all saved."""
    torch.manual_seed(7)
    plain = heads.build_head(name, DIM, CLASSES).double()
    head = build_sharded(name, DIM, CLASSES).double()
    own = plain.get_parameter("weight")[slice(*distributed.rows_of(CLASSES))]
    head.head.load_state_dict({**plain.state_dict(), "weight": own})
    body = network()
    steps = optimiser(kind, head, body)
    losses = train(head, body, steps, range(STEPS))
    inputs, labels = mine(STEPS)
    return {
        "losses": losses,
        "saved": saved_by_all(head, steps),
        "body": body.state_dict(),
        "predicted": head.predict(body(inputs)),
        "accuracy": head.accuracy(body(inputs), labels),
    }


def saved_by_all(head: heads.Head, steps: Optimizer) -> Answer:
    """What is saved of a head and its optimiser, with the rows of all processes on rank 0."""
    saved = head.saved(steps)
    return {**saved, "rows": {name: distributed.gather_rows(rows, CLASSES) for name, rows in saved["rows"].items()}}


def everything() -> Answer:
    """All that the tests below look at, in one start of the processes."""
    answers: Answer = {name: trained(name, "sgd") for name in NAMES}
    answers["adamw"] = trained("arcface", "adamw")
    answers["sampled"] = sampled()
    initial = build_sharded("arcface", DIM, CLASSES, seed=3)
    answers["initial"] = saved_by_all(initial, optimiser("sgd", initial))["rows"]
    answers["exchanges"] = exchanges()
    return answers


def sampled() -> Answer:
    """Steps at rate .5 across processes."""
    head = build_sharded("cosface", DIM, CLASSES, rate=0.5, seed=1).double()
    body = network()
    steps = optimiser("sgd", head, body)
    head.follow(steps)
    losses = train(head, body, steps, range(STEPS))
    return {"losses": losses, "saved": saved_by_all(head, steps)}


def exchanges() -> Answer:
    """A replicated head on gathered embeddings; log-sum-exps with nothing on one process."""
    body = network()
    torch.manual_seed(9)
    head = heads.build_head("curricularface", DIM, CLASSES).double()
    inputs, labels = mine(0)
    whole, summed = Replicated(head), distributed.GradientSum(body.parameters(), bucket=8)
    loss, right = whole.measure(body(inputs), labels)
    summed.begin()
    loss.backward()
    summed.finish()
    part = torch.tensor([-torch.inf if distributed.rank() else 2.0, 1.0], dtype=torch.float64)
    return {
        "body": body.weight.grad,
        "head": head.weight.grad,
        "figures": torch.stack([loss.detach(), right]),
        "logsumexp": distributed.logsumexp(part),
    }


@pytest.fixture(scope="module")
def alone() -> Answer:
    """The same work in one process."""
    return everything()


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    """What each of 2, then of 4 processes found."""
    return together(request.param, tmp_path_factory.mktemp("run"), everything)


def assert_close(one: Any, other: Any) -> None:
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


def test_losses_and_updates_are_those_of_one_process(ranks: list[Answer], alone: Answer) -> None:
    for case in (*NAMES, "adamw"):
        for answer in ranks:
            for key in ("losses", "body", "accuracy"):
                assert_close(answer[case][key], alone[case][key])
            assert torch.equal(answer[case]["predicted"], alone[case]["predicted"])
        for part in ("head", "rows"):
            assert_close(ranks[0][case]["saved"][part], alone[case]["saved"][part])
        assert len(ranks[0][case]["saved"]["rows"]) == (3 if case == "adamw" else 2)
        assert_close(ranks[0][case]["saved"]["optimiser"]["state"], alone[case]["saved"]["optimiser"]["state"])


@pytest.mark.parametrize("name", NAMES)
def test_split_head_in_a_world_of_one_is_the_plain_head(name: str, alone: Answer) -> None:
    torch.manual_seed(7)
    plain, body = heads.build_head(name, DIM, CLASSES).double(), network()
    steps = optimiser("sgd", plain, body)
    assert_close(train(plain, body, steps, range(STEPS)), alone[name]["losses"])
    saved = plain.saved(steps)
    for part in ("head", "rows"):
        assert_close(saved[part], alone[name]["saved"][part])
    assert set(saved["head"]) | {"weight"} == set(plain.state_dict())


def test_first_centres_do_not_depend_on_the_number_of_processes(ranks: list[Answer], alone: Answer) -> None:
    assert torch.equal(ranks[0]["initial"]["weight"], alone["initial"]["weight"])
    assert float(initial_centres(5000, 9000, 16, 0).std()) == pytest.approx(0.01, rel=0.02)
    assert torch.equal(initial_centres(0, 9000, 2, 1)[4000:5000], initial_centres(4000, 5000, 2, 1))


def test_a_whole_head_on_gathered_faces_is_that_of_one_process(ranks: list[Answer], alone: Answer) -> None:
    for answer in ranks:
        for key in ("body", "head", "figures"):
            assert_close(answer["exchanges"][key], alone["exchanges"][key])
    both = torch.tensor([2.0, 1.0 + torch.tensor(len(ranks)).log()], dtype=torch.float64)
    torch.testing.assert_close(ranks[0]["exchanges"]["logsumexp"], both, rtol=1e-6, atol=0)


def test_training_saved_by_several_processes_goes_on_in_one(ranks: list[Answer]) -> None:
    saved = ranks[0]["arcface"]
    torch.manual_seed(7)
    plain, body = heads.build_head("arcface", DIM, CLASSES).double(), network()
    expected = train(plain, body, optimiser("sgd", plain, body), range(2 * STEPS))
    head = build_sharded("arcface", DIM, CLASSES).double()
    body = network()
    body.load_state_dict(saved["body"])
    steps = optimiser("sgd", head, body)
    head.load_saved(saved["saved"], steps)
    assert_close(train(head, body, steps, range(STEPS, 2 * STEPS)), expected[STEPS:])


def test_sampling_processes_agree(ranks: list[Answer]) -> None:
    for answer in ranks:
        assert answer["sampled"]["losses"] == ranks[0]["sampled"]["losses"]
    assert ranks[0]["sampled"]["saved"]["sampled_steps"] == STEPS


def test_samples_hold_all_positives_and_random_others() -> None:
    place = torch.tensor([3, -1, 90, 3])
    draws = [sample_classes(place, 100, 0.3, (0, step, 0)) for step in range(200)]
    for draw in draws:
        assert len(draw) == 30
        assert torch.equal(draw, torch.unique(draw))
        assert {3, 90} <= set(draw.tolist())
    often = torch.bincount(torch.cat(draws), minlength=100)
    others = often[[number for number in range(100) if number not in (3, 90)]].double()
    assert float(others.mean()) == pytest.approx(200 * 28 / 98)
    assert 30 < float(others.min()) < float(others.max()) < 90
    assert torch.equal(sample_classes(place, 100, 0.3, (0, 5, 0)), draws[5])
    assert sample_classes(torch.arange(7), 8, 0.1, (0,)).tolist() == list(range(7))


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_sampled_step_is_a_plain_step_of_the_sampled_centres(kind: str, accumulate: int) -> None:
    """Others keep their centres and momentum to the bit, whatever was sampled before."""
    head = build_sharded("arcface", DIM, CLASSES, rate=0.4).double()
    steps = optimiser(kind, head)
    head.follow(steps)
    body = nn.Identity()
    train(head, body, steps, range(2 * accumulate), accumulate)
    weight = head.head.weight
    state = {name: value.clone() for name, value in steps.state[weight].items()}
    before = weight.detach().clone()
    for number in range(accumulate):
        inputs, labels = mine(number)
        head(inputs, labels).backward()
    assert head.sampled is not None
    rows, gradient = head.sampled, weight.grad
    assert gradient is not None
    assert gradient.shape == (len(rows), DIM), "others have no gradient, which would take as much memory as they do"
    expected = nn.Parameter(before[rows].clone())
    expected.grad = gradient.clone()
    peer = optimiser(kind, nn.ParameterList([expected]))
    peer.state[expected] = {
        name: value[rows].clone() if value.shape == before.shape else value.clone() for name, value in state.items()
    }
    steps.step()
    peer.step()
    left = torch.ones(CLASSES, dtype=torch.bool).index_fill(0, rows, False)
    assert 0 < int(left.sum()) < CLASSES
    assert torch.equal(weight[rows], expected)
    assert torch.equal(weight[left], before[left])
    for name, value in steps.state[weight].items():
        if value.shape == before.shape:
            assert torch.equal(value[left], state[name][left])
            assert not torch.equal(value[rows], state[name][rows])


def test_a_skipped_step_changes_nothing() -> None:
    """As when a gradient scaler finds an overflow."""
    head = build_sharded("arcface", DIM, CLASSES, rate=0.4).double()
    steps = optimiser("sgd", head)
    head.follow(steps)
    before = head.head.weight.detach().clone()
    head(*mine(0)).backward()
    steps.zero_grad()
    steps.step()
    assert torch.equal(head.head.weight, before)
    head(*mine(1)).backward()
    assert head.sampled is not None
    rows = head.sampled
    steps.step()
    changed = (head.head.weight != before).any(1).nonzero()[:, 0]
    assert torch.equal(changed, rows)  # those of the second sample only


def test_three_tenths_of_the_centres_train() -> None:
    """Noisy faces around 50 points: the loss falls, and every class is learned."""
    torch.manual_seed(3)
    points, classes = torch.randn(50, 16), 50
    head = build_sharded("cosface", 16, classes, rate=0.3)
    body = nn.Linear(16, 16)
    steps = torch.optim.SGD([*head.parameters(), *body.parameters()], lr=0.1, momentum=0.9)
    head.follow(steps)
    losses = []
    for _ in range(300):
        labels = torch.randint(classes, (32,))
        loss = head(body(points[labels] + 0.2 * torch.randn(32, 16)), labels)
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.25 * sum(losses[:10])
    assert float(head.accuracy(body(points), torch.arange(classes))) > 0.95


def test_sampling_is_for_training_only() -> None:
    head = build_sharded("arcface", DIM, CLASSES, rate=0.4).double().eval()
    whole = heads.build_head("arcface", DIM, CLASSES).double()
    whole.load_state_dict(head.head.state_dict())
    assert torch.allclose(head(*mine(0)), whole(*mine(0)))
    assert head.sampled is None


def test_impossible_splits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ParamsError, match="above 0 and at most 1"):
        build_sharded("arcface", DIM, CLASSES, rate=0.0)
    with pytest.raises(ParamsError, match="such as arcface"):
        build_sharded("softmax", DIM, CLASSES)
    with pytest.raises(ParamsError, match="holds 12 of 12 classes, but its head has 11"):
        Sharded(heads.build_head("arcface", DIM, 11), 12)
    plain, larger = heads.build_head("arcface", DIM, CLASSES), build_sharded("arcface", DIM, 12)
    with pytest.raises(ParamsError, match="knows 11 classes, this one 12"):
        larger.load_saved(plain.saved(optimiser("sgd", plain)), optimiser("sgd", larger))
    monkeypatch.setattr(distributed, "world", lambda: 3)
    with pytest.raises(ParamsError, match="cannot be split over 3"):
        build_sharded("arcface", DIM, 5)
    with pytest.raises(ParamsError, match="3 processes cannot share evenly; make it a multiple of 3"):
        distributed.local_batch(64)
    with pytest.raises(ParamsError, match="in 2 parts; make it a multiple of 6"):
        distributed.local_batch(63, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"RANK": "0"}, "WORLD_SIZE is ''"),
        ({"RANK": "x", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "RANK is 'x'"),
        ({"RANK": "2", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "contradict each other"),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}, "contradict each other"),
    ],
)
def test_a_broken_environment_is_told(settings: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert distributed.launched() == distributed.Place(0, 1, 0)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(distributed.DistributedError, match=message):
        distributed.launched()


def test_processes_that_cannot_meet_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(distributed.DistributedError, match="Process 0 of 2 did not meet"), distributed.joined(CPU):
        pass


@pytest.mark.skipif(torch.cuda.device_count() > 7, reason="This machine has the GPU that must be missing.")
def test_a_missing_gpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "7", "WORLD_SIZE": "8", "LOCAL_RANK": "7"}.items():
        monkeypatch.setenv(name, value)
    message = "LOCAL_RANK is 7 but this machine has"
    with pytest.raises(distributed.DistributedError, match=message), distributed.joined(torch.device("cuda")):
        pass
