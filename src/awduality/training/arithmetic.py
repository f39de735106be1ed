"""The arithmetic that training runs in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def training_arithmetic() -> Iterator[None]:
    """Denormal numbers, with which arithmetic is slow, count as zero; numbers may overflow, since a run may diverge.

    The former is a setting of the whole process: it is left as others expect it.
    """
    torch.set_flush_denormal(True)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            yield
    finally:
        torch.set_flush_denormal(False)
