"""Where to compute: a GPU where there is one."""

from __future__ import annotations

import os
from typing import Literal

import torch

from awduality.errors import InputError


def choose_device(auto: Literal["cpu", "cuda"] = "cuda") -> torch.device:
    """The device that the environment variable ``AWDUALITY_DEVICE`` asks for: ``auto``, ``cpu`` or ``cuda``.

    Args:
        auto: what ``auto`` stands for; a GPU only if torch can use one.

    Raises:
        InputError: an unknown word, or ``cuda`` where torch finds no GPU.
    """
    wanted = os.environ.get("AWDUALITY_DEVICE", "auto")
    if wanted not in ("auto", "cpu", "cuda"):
        raise InputError(f"unknown device {wanted!r} in AWDUALITY_DEVICE: wanted auto, cpu or cuda")
    usable = torch.cuda.is_available()
    if wanted == "cuda" and not usable:
        raise InputError("AWDUALITY_DEVICE is cuda, but torch finds no GPU: unset it, or install a CUDA build of torch")
    if wanted == "auto":
        wanted = auto if usable else "cpu"
    return torch.device(wanted)
