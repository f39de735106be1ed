"""Where to compute: a GPU where there is one."""

from __future__ import annotations

import os

import torch

from awduality.errors import InputError


def choose_device() -> torch.device:
    """The device that ``AWDUALITY_DEVICE`` asks for: ``auto`` (a GPU if torch can use one), ``cpu`` or ``cuda``.

    Raises:
        InputError: an unknown word, or ``cuda`` where torch finds no GPU.
    """
    wanted = os.environ.get("AWDUALITY_DEVICE", "auto")
    if wanted not in ("auto", "cpu", "cuda"):
        raise InputError(f"unknown device {wanted!r} in AWDUALITY_DEVICE: wanted auto, cpu or cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("AWDUALITY_DEVICE is cuda, but torch finds no GPU: unset it, or install a CUDA build of torch")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")
