"""What every source of data gives."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from awduality.ledger import FileEntry, current


@dataclass(frozen=True)
class Dataset:
    """A dataset in memory, before any part of it is chosen.

    A sample's n = C·H·W pixels are in the order (channel, row, column), as torch's convolutions want them. A signal is
    an image of one row, and its values are called pixels too.
    """

    title: str
    licence: str
    citation: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]  # channels C, height H, width W
    scale: float  # inputs are pixels / scale, in [0, 1]; 1 for values that are inputs already
    train_pixels: np.ndarray  # (N, n) uint8, or float32 where they are no pixels
    train_labels: np.ndarray  # (N,) int64
    test_pixels: np.ndarray | None  # (T, n) of the same type; None: a part of the training samples is held out
    test_labels: np.ndarray | None  # (T,) int64
    sorted_test: bool  # the test samples come class by class, so that a part of them is taken in a permuted order
    held_out: int  # samples held out as the test set where there is no other
    files: Mapping[str, str]  # SHA-256 of each raw file, or of what stands for all of them
    verified: bool  # whether every digest was compared with a known one


def noted(origin: str, arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """``<origin> (<part>)`` → SHA-256 of the bytes of an array that no file holds, noted as an input of the step.

    Args:
        origin: what gave the arrays.
        arrays: part → array.
    """
    found = {}
    for part, array in arrays.items():
        name, digest = f"{origin} ({part})", hashlib.sha256(array.tobytes()).hexdigest()
        if (step := current()) is not None:
            step.inputs[name] = FileEntry(array.nbytes, digest)
        found[name] = digest
    return found
