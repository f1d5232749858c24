"""The device comes from the machine's settings, and an impossible one says so."""

import pytest
import torch

from facerec import devices
from facerec.errors import ParamsError


def test_auto_is_cuda_where_there_is_one(monkeypatch):
    monkeypatch.delenv("FACEREC_DEVICE", raising=False)
    assert devices.device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_the_environment_decides(monkeypatch):
    monkeypatch.setenv("FACEREC_DEVICE", "cpu")
    assert devices.device() == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99"])
def test_impossible_devices_are_refused(monkeypatch, name):
    monkeypatch.setenv("FACEREC_DEVICE", name)
    with pytest.raises(ParamsError, match="FACEREC_DEVICE"):
        devices.device()
