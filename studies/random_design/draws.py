"""The random design: every factor of every run drawn on its own. Standard library only, since plans are.

A draw is addressed as the streams of ``awduality.streams`` are, by root seed, purpose and seed index, and further by
the run's place in its block and the factor: SHA-256 of the address is the number. So a further run, block or factor
moves no other draw.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

_DIGITS = 4  # significant ones of a drawn value


def uniform(root_seed: int, block: int, place: int, factor: str) -> float:
    """The uniform number in [0, 1) of one factor of one run."""
    address = f"awduality/1/{root_seed}/random_design/design/{block}/{place}/{factor}"
    return float(int.from_bytes(hashlib.sha256(address.encode()).digest()[:6], "big") / 2**48)


def one_of(values: Sequence[Any], u: float) -> Any:
    """One of a list, each as likely."""
    return values[int(u * len(values))]


def evenly(ends: Sequence[float], u: float) -> float:
    """A number between two ends, evenly."""
    return _rounded(ends[0] + u * (ends[-1] - ends[0]))


def by_ratio(ends: Sequence[float], u: float) -> float:
    """A number between two positive ends, evenly on a logarithmic scale."""
    return _rounded(math.exp(math.log(ends[0]) + u * math.log(ends[-1] / ends[0])))


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


LAWS: Mapping[str, Callable[[Sequence[Any], float], Any]] = MappingProxyType(
    {
        "batch_size": one_of,
        "learning_rate": by_ratio,
        "weight_decay": by_ratio,
        "init_scale": by_ratio,
        "dropout": evenly,
        "label_noise": one_of,
        "train_size": one_of,
    }
)
"""Factor → how it is drawn. Those that runs of one stack share are drawn from a list, the others between two ends."""


def drawn(ranges: Mapping[str, Sequence[Any]], root_seed: int, block: int, place: int) -> dict[str, Any]:
    """The factors of one run.

    Args:
        ranges: factor -> the list that it is drawn from, or its two ends.
        root_seed: of the config.
        block: the seed index of the run.
        place: of the run in its block.
    """
    return {factor: law(ranges[factor], uniform(root_seed, block, place, factor)) for factor, law in LAWS.items()}
