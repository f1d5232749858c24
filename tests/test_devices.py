"""The device comes from the machine's settings, and an impossible one says so."""

import pytest
import torch

from facerec.core import ParamsError, settings


def test_auto_is_cuda_where_there_is_one(monkeypatch):
    monkeypatch.delenv("FACEREC_DEVICE", raising=False)
    assert settings.torch_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_the_environment_decides(monkeypatch):
    monkeypatch.setenv("FACEREC_DEVICE", "cpu")
    assert settings.torch_device() == torch.device("cpu")


@pytest.mark.parametrize("setting", ["", "cpu"])
def test_its_type_is_known_without_torch_where_there_can_be_no_gpu(monkeypatch, setting):
    monkeypatch.setenv("FACEREC_DEVICE", setting)
    assert settings.device_type() == settings.torch_device().type
    monkeypatch.setattr(settings, "_may_have_gpu", lambda: False)
    monkeypatch.setattr(settings, "torch_device", lambda: pytest.fail("torch was asked"))
    assert settings.device_type() == "cpu"


@pytest.mark.parametrize("name", ["gpu", "cuda:99"])
def test_impossible_devices_are_refused(monkeypatch, name):
    monkeypatch.setenv("FACEREC_DEVICE", name)
    with pytest.raises(ParamsError, match="FACEREC_DEVICE"):
        settings.torch_device()
    with pytest.raises(ParamsError, match="FACEREC_DEVICE"):
        settings.device_type()


def test_a_device_is_described_with_what_else_could_be_used(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert settings.describe_device(cpu) == "the CPU (torch sees no GPU, as this build of it has no CUDA)"
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert settings.describe_device(cpu) == "the CPU (torch sees no GPU)"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert settings.describe_device(cpu) == "the CPU, as FACEREC_DEVICE says"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H100")
    assert settings.describe_device(cuda).startswith("GPU H100, one of 4; FACEREC_TORCHRUN=")
