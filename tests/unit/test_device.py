"""Which device is chosen."""

import pytest
import torch

from awduality.device import choose_device
from awduality.errors import InputError


def test_a_missing_gpu_and_an_unknown_device_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for wanted in ("auto", "cpu"):
        monkeypatch.setenv("AWDUALITY_DEVICE", wanted)
        assert choose_device().type == "cpu"
    monkeypatch.setenv("AWDUALITY_DEVICE", "cuda")
    with pytest.raises(InputError, match="finds no GPU"):
        choose_device()
    monkeypatch.setenv("AWDUALITY_DEVICE", "tpu")
    with pytest.raises(InputError, match="wanted auto, cpu or cuda"):
        choose_device()


def test_auto_is_a_gpu_where_there_is_one_and_it_pays(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("AWDUALITY_DEVICE", raising=False)
    assert choose_device().type == "cuda"
    assert choose_device(auto="cpu").type == "cpu"
    monkeypatch.setenv("AWDUALITY_DEVICE", "cuda")
    assert choose_device(auto="cpu").type == "cuda"
