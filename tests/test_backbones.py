"""Backbones have their published sizes, and a stored network comes back bit by bit."""

import pytest
import torch
from pydantic import ValidationError

from facerec import backbones
from facerec.backbones import storage
from facerec.backbones.layers import PReLU
from facerec.core import FormatError, ParamsError
from facerec.params.training import Backbone
from facerec.store.model_metadata import Preprocessing

OPTIONS = {"width": 0.125}


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("dim", "count"), [(128, 1_003_136), (512, 1_200_512)])
def test_mobilefacenet_has_the_published_number_of_parameters(dim: int, count: int) -> None:
    assert parameters(backbones.build_backbone("mobilefacenet", dim)) == count


PUBLISHED = {
    "mbf": 2_059_520,
    "mbf-large": 6_314_880,
    "vit-t": 19_137_536,
    "iresnet18": 24_025_600,
    "iresnet34": 34_139_328,
    "iresnet50": 43_590_848,
    "iresnet100": 65_156_160,
    "iresnet152": 70_765_760,
    "iresnet200": 118_833_920,
    "iresnet50-se": 43_813_568,
    "iresnet100-se": 65_528_384,
    "iresnet50-cam": 43_813_568,
    "iresnet50-sam": 43_591_280,
    "iresnet50-cbam": 43_814_000,
    "iresnet100-cbam": 65_529_266,
    "ir50": 43_574_976,
    "ir50-se": 43_797_696,
    "ir100": 65_129_792,
    "ir100-se": 65_502_016,
    "ir152-se": 71_148_736,
    "se-resnet101-ir": 52_193_215,
    "attention56": 26_419_392,
    "attention92": 134_559_424,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_networks_have_the_published_number_of_parameters(name: str) -> None:
    with torch.device("meta"):  # neither time nor memory
        network = backbones.build_backbone(name, 512)
        assert parameters(network) == PUBLISHED[name]
        assert network.eval()(torch.empty(2, 3, 112, 112)).shape == (2, 512)


FOREIGN = [
    "resnet50",
    "timm/densenet121",
    "timm/dpn68",
    "timm/inception_resnet_v2",
    "timm/mobilenetv3_small_100",
    "timm/vit_tiny_patch16_224",
]


@pytest.mark.parametrize("name", FOREIGN)
def test_models_of_timm_embed_faces(name: str) -> None:
    network = backbones.build_backbone(name, 24).eval()
    with torch.inference_mode():
        embeddings = network(torch.randn(2, 3, 112, 112))
    assert embeddings.shape == (2, 24)
    assert torch.isfinite(embeddings).all()
    assert not torch.allclose(*embeddings)


@pytest.mark.parametrize("name", FOREIGN)
def test_models_of_timm_take_other_sizes(name: str) -> None:
    with torch.device("meta"):
        network = backbones.build_backbone(name, 24, (112, 96)).eval()
        assert network(torch.empty(2, 3, 112, 96)).shape == (2, 24)


def test_maps_of_timm_that_hold_channels_last_are_normalised_by_channel() -> None:
    network = backbones.build_backbone("timm/mambaout_femto", 8)
    assert network.output[0].num_features == network.trunk.num_features  # type: ignore[index, union-attr]


@pytest.mark.parametrize(
    ("name", "problem"), [("hrnet_w18", "broadcast"), ("efficientvim_m1", "neither a map nor tokens")]
)
def test_models_of_timm_that_cannot_are_refused(name: str, problem: str) -> None:
    with pytest.raises(ParamsError, match=f"{name} makes no features of images 112x112 .*{problem}"):
        backbones.build_backbone(f"timm/{name}")


@pytest.mark.parametrize("name", ["mbf", "resnet10", "iresnet18-cbam", "ir50-se", "attention56"])
def test_a_step_of_training_reaches_all_that_learns(name: str) -> None:
    network = backbones.build_backbone(name, 8, (40, 32))
    network(torch.randn(2, 3, 40, 32)).square().sum().backward()
    learns = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None and torch.isfinite(parameter.grad).all() for parameter in learns)


def test_small_residual_network_runs_at_any_size() -> None:
    for size in ((112, 112), (112, 96), (64, 64)):
        network = backbones.build_backbone("iresnet18", 8, size).eval()
        assert torch.isfinite(network(torch.randn(1, 3, *size))).all()
        assert not network.output[-1].weight.requires_grad


def test_resnet10_begins_as_its_shortcuts_and_runs_at_odd_sizes() -> None:
    network = backbones.build_backbone("resnet10", 128, width=0.5).eval()
    assert parameters(network) == 1_339_776, "as its docstring says"
    unit, x = network.body[1][0], torch.randn(2, 32, 28, 28)  # type: ignore[index]
    assert torch.equal(unit(x), unit.activation(unit.shortcut(x)))
    odd = backbones.build_backbone("resnet10", 8, (101, 77), width=0.25).eval()
    assert odd(torch.randn(2, 3, 101, 77)).shape == (2, 8)


@pytest.mark.parametrize("size", [(112, 112), (112, 96), (128, 128), (224, 224)])
def test_any_input_size_gives_one_embedding_a_face(size: tuple[int, int]) -> None:
    network = backbones.build_backbone("mobilefacenet", 24, size, **OPTIONS).eval()
    assert network(torch.zeros(2, 3, *size)).shape == (2, 24)


@pytest.mark.parametrize("shape", [(5, 24), (4, 16, 13, 9), (3, 40, 7, 7)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("threads", [1, 2])
def test_gradients_of_prelu_are_those_of_torch(
    shape: tuple[int, ...], layout: torch.memory_format, threads: int
) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    values, gradient = torch.randn(shape).round(decimals=1), torch.randn(shape)
    assert (values == 0).any()
    if len(shape) == 4:
        values, gradient = (each.to(memory_format=layout) for each in (values, gradient))
    found = []
    for layer in (PReLU(shape[1]), torch.nn.PReLU(shape[1])):
        with torch.no_grad():
            layer.weight.copy_(torch.linspace(-0.5, 1.5, shape[1]))
        inputs = values.clone().requires_grad_()
        outputs = layer(inputs)
        outputs.backward(gradient)
        found.append((outputs, inputs.grad, layer.weight.grad))
    torch.set_num_threads(1)
    assert "_PReLU" in type(found[0][0].grad_fn).__name__
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*found, strict=True))


@pytest.mark.parametrize("change", [torch.nn.Module.eval, torch.nn.Module.double, torch.nn.Module.bfloat16])
def test_prelu_is_plain_where_it_does_not_train_in_float32(change) -> None:
    layer = change(PReLU(4))
    assert "_PReLU" not in type(layer(torch.ones(2, 4, dtype=layer.weight.dtype)).grad_fn).__name__
    assert list(layer.state_dict()) == ["weight"]


def test_prelu_trains_under_autocast() -> None:
    layer, inputs = PReLU(4), torch.randn(2, 4, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        layer(inputs).sum().backward()
    assert torch.allclose(layer.weight.grad, inputs.clamp(max=0).sum((0, 2, 3)), rtol=0.02)


def test_width_scales_the_channels() -> None:
    half, full = (backbones.build_backbone("mobilefacenet", 128, width=width) for width in (0.5, 1.0))
    assert half.stem[0][0].out_channels == 32  # type: ignore[index, union-attr]
    assert 3 < parameters(full) / parameters(half) < 4


@pytest.mark.parametrize(("depth", "left"), [(1, (4, 6, 2)), (0.5, (2, 3, 1)), (0.3, (1, 1, 0)), (0.001, (0, 0, 0))])
def test_depth_takes_blocks_with_a_shortcut_out_of_every_row(depth: float, left: tuple[int, int, int]) -> None:
    blocks = list(backbones.build_backbone("mobilefacenet", 16, depth=depth, **OPTIONS).body)
    rows = "".join("r" if block.residual else " " for block in blocks).split()
    assert [len(row) for row in rows] == [count for count in left if count]
    assert sum(not block.residual for block in blocks) == 3


def test_a_shortened_network_has_what_the_blocks_left_have_learnt() -> None:
    whole = backbones.build_backbone("mobilefacenet-relu6", 16)
    short = backbones.build_backbone("mobilefacenet-relu6", 16, depth=0.5)
    left = [block for place, block in enumerate(whole.body) if place not in (1, 3, 6, 8, 10, 13)]
    whole.shorten(0.5)
    assert list(whole.body) == left
    short.load_state_dict(whole.state_dict())


def test_initial_weights_follow_the_seed() -> None:
    first, again = [], []
    for target in (first, again):
        torch.manual_seed(5)
        target.extend(backbones.build_backbone("mobilefacenet", 16, **OPTIONS).parameters())
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_unknown_names_and_options_are_refused() -> None:
    with pytest.raises(ParamsError, match="mobilefacenet"):
        backbones.build_backbone("resnet-9000")
    with pytest.raises(ParamsError, match="takes width, depth, not deep"):
        backbones.build_backbone("mobilefacenet", deep=3)
    with pytest.raises(ParamsError, match="did you mean resnet51q"):
        backbones.build_backbone("timm/resnet51")
    assert backbones.backbone_options("mobilefacenet") == ["width", "depth"]
    assert backbones.backbone_options("iresnet50-cbam") == ["dropout"]
    assert "dropout" in backbones.backbone_options("timm/resnet18")


@pytest.mark.parametrize("name", [*backbones.BACKBONES, "timm/vit_tiny_patch16_224"])
def test_recipes_may_name_every_backbone(name: str) -> None:
    assert Backbone(name=name).name == name


@pytest.mark.parametrize("name", ["iresnet50-", "iresnet150", "ir50-cbam", "attention57", "resnet50-se"])
def test_recipes_may_name_nothing_else(name: str) -> None:
    assert name not in backbones.BACKBONES
    with pytest.raises(ValidationError, match="is no backbone; use mobilefacenet"):
        Backbone(name=name)


@pytest.fixture
def stored() -> storage.StoredBackbone:
    torch.manual_seed(1)
    return storage.create_backbone("mobilefacenet", 16, OPTIONS, Preprocessing(crop=(8, 104)))


def test_a_stored_backbone_comes_back(stored: storage.StoredBackbone, tmp_path) -> None:
    images = torch.randn(3, 3, 112, 96)
    stored.network(images)  # moves the running statistics
    storage.save_backbone(stored, tmp_path / "backbone.pt")
    loaded = storage.load_backbone(tmp_path / "backbone.pt")
    assert (loaded.name, loaded.dim, loaded.options) == ("mobilefacenet", 16, OPTIONS)
    assert loaded.preprocessing == stored.preprocessing
    assert not loaded.network.training
    assert torch.equal(loaded.network(images), stored.network.eval()(images))


def test_equal_weights_give_equal_bytes_under_any_name(stored: storage.StoredBackbone, tmp_path) -> None:
    storage.save_backbone(stored, tmp_path / "a" / "backbone.pt")
    stored.network.to(memory_format=torch.channels_last)
    storage.save_backbone(stored, tmp_path / "another.pt")
    assert (tmp_path / "a" / "backbone.pt").read_bytes() == (tmp_path / "another.pt").read_bytes()


def test_files_that_are_no_backbone_are_refused(stored: storage.StoredBackbone, tmp_path) -> None:
    path = tmp_path / "backbone.pt"
    with pytest.raises(FormatError, match="does not exist"):
        storage.load_backbone(path)
    storage.save_backbone(stored, path)
    whole = path.read_bytes()
    for damaged in (whole[:1000], b"", b"text"):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match="damaged or not a backbone"):
            storage.load_backbone(path)
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(FormatError, match="not a backbone of this project"):
        storage.load_backbone(path)
