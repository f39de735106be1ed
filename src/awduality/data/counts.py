"""How many samples label noise adds. Standard library only, since configs are checked by it."""

from __future__ import annotations


def noisy_count(train_size: int, level: float) -> int:
    """How many mislabelled samples are added to ``train_size`` clean ones: N·ρ/(1 − ρ), down to a multiple of ten."""
    return 10 * int(train_size * level / (1 - level) / 10 + 1e-9)
