"""Batch normalisation and PReLU as one operation: the results of torch in double precision, the same bits for any threads."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from facerec.backbones import build_backbone, normalisation
from facerec.backbones.layers import FusedSequential, PReLU
from facerec.backbones.normalisation import can_fuse, normalise

SHAPES = [(8, 5, 7, 6), (3, 16, 1, 1), (2, 1, 9, 9), (5, 70, 12, 11)]
LAYOUT = torch.channels_last


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


def layers(channels: int, activated: bool = True) -> FusedSequential:
    """Normalisation, and PReLU, with parameters that are not those of the start."""
    norm = nn.BatchNorm2d(channels)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(-1.5, 2, channels))
        norm.bias.copy_(torch.linspace(1, -1, channels))
    made = FusedSequential(norm, *([PReLU(channels)] if activated else []))
    if activated:
        nn.init.uniform_(made[1].weight, -0.5, 1.5)
    return made


def results(network: nn.Module, inputs: Tensor, above: Tensor) -> list[Tensor]:
    """Outputs, gradients of inputs and parameters, and running statistics, of one step."""
    inputs = inputs.clone(memory_format=torch.preserve_format).requires_grad_()
    outputs = network(inputs)
    outputs.backward(above)
    gradients = [each.grad for each in network.parameters()]
    assert inputs.grad is not None
    return [outputs.detach(), inputs.grad, *gradients, *(each.double() for each in network.buffers())]


def maps(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(memory_format=LAYOUT)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activated", [True, False])
@pytest.mark.parametrize("centre", [0, 300])
def test_it_is_what_torch_computes_in_double_precision(shape: tuple[int, ...], activated: bool, centre: float) -> None:
    torch.manual_seed(1)
    ours = layers(shape[1], activated)
    plain = nn.Sequential(*layers(shape[1], activated)).double()
    plain.load_state_dict(ours.state_dict())
    inputs, above = maps(shape, 2) + centre, maps(shape, 3)
    assert can_fuse(ours[0], inputs)
    expected = results(plain, inputs.double(), above.double())
    for found, right in zip(results(ours, inputs, above), expected, strict=True):
        assert found.shape == right.shape
        assert (found - right).abs().max() <= 1e-5 * (1 + centre) * (1 + right.abs().max())


@pytest.fixture
def handed_out(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Shares of maps, however small, that another thread took."""
    parts: list[object] = []
    threads = normalisation._threads

    class Watched:
        def submit(self, loop: object, *arguments: object) -> object:
            parts.append(loop)
            return threads(os.getpid()).submit(loop, *arguments)

    monkeypatch.setattr(normalisation, "_GRAIN", 1)
    monkeypatch.setattr(normalisation, "_threads", lambda process: Watched())
    return parts


@pytest.mark.parametrize("shape", SHAPES)
def test_the_number_of_threads_changes_no_bit(shape: tuple[int, ...], handed_out: list[object]) -> None:
    torch.manual_seed(1)
    state = layers(shape[1]).state_dict()
    found = []
    for count in (1, 2, 3, 9):
        torch.set_num_threads(count)
        network = layers(shape[1])
        network.load_state_dict(state)
        handed_out.clear()
        found.append(results(network, maps(shape, 2), maps(shape, 3)))
        assert len(handed_out) == 4 * (min(count, shape[0]) - 1)  # four loops over the maps
    for others in found[1:]:
        assert all(map(torch.equal, found[0], others))


def test_a_child_process_has_threads_of_its_own(handed_out: list[object]) -> None:
    torch.set_num_threads(2)
    expected = results(layers(4, activated=False), maps((8, 4, 3, 3), 1), maps((8, 4, 3, 3), 2))
    assert handed_out
    child = os.fork()
    if child == 0:  # it would wait for ever for threads that only its parent has
        found = results(layers(4, activated=False), maps((8, 4, 3, 3), 1), maps((8, 4, 3, 3), 2))
        os._exit(0 if all(map(torch.equal, expected, found)) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_gradient_in_another_layout_is_the_same() -> None:
    above = maps((4, 6, 5, 5), 2)
    torch.manual_seed(1)
    network = layers(6)
    first = results(network, maps((4, 6, 5, 5), 1), above)
    network.zero_grad()
    second = results(network, maps((4, 6, 5, 5), 1), above.contiguous())
    assert all(map(torch.equal, first[:-3], second[:-3]))  # all but the running statistics, which went on


def _set(name: str, value: object):
    def change(norm: nn.BatchNorm2d) -> nn.Module:
        setattr(norm, name, value)
        return norm

    return change


@pytest.mark.parametrize(
    "change", [nn.Module.eval, _set("affine", False), _set("track_running_stats", False), _set("momentum", None)]
)
def test_other_normalisations_are_torchs(change) -> None:
    assert not can_fuse(change(nn.BatchNorm2d(4)), maps((2, 4, 3, 3), 1))


@pytest.mark.parametrize(
    "inputs", [maps((2, 4, 3, 3), 1).contiguous(), maps((2, 4, 3, 3), 1).double(), maps((1, 4, 1, 1), 1)]
)
def test_other_maps_are_torchs(inputs: Tensor) -> None:
    assert not can_fuse(nn.BatchNorm2d(4), inputs)


def test_casting_is_torchs() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert not can_fuse(nn.BatchNorm2d(4), maps((2, 4, 3, 3), 1))


def test_one_value_a_channel_is_refused_by_torch() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        layers(4)(maps((1, 4, 1, 1), 1))


@pytest.mark.parametrize("name", ["mobilefacenet", "iresnet18"])
def test_networks_train_with_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    network = build_backbone(name, 32).to(memory_format=LAYOUT).train()
    faces, above = maps((2, 3, 112, 112), 4), maps((2, 32, 1, 1), 5).flatten(1)
    fused: list[nn.Module] = []

    def watched(x: Tensor, norm: nn.BatchNorm2d, slopes: Tensor | None) -> Tensor:
        fused.append(norm)
        return normalise(x, norm, slopes)

    monkeypatch.setattr("facerec.backbones.layers.normalise", watched)
    network(faces).backward(above)
    assert fused == [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
