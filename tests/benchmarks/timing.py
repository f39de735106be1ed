"""How long a call takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from tests.benchmarks.workers import meet

REPEATS = 3


def seconds(call: Callable[[], object]) -> float:
    """The duration of one call, begun together with the other processes."""
    meet()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def median_seconds(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """The median duration of a call, after one call that is not counted."""
    call()
    return statistics.median(seconds(call) for _ in range(repeats))


def seconds_per_epoch(train_for: Callable[[int], object], target: float = 1.0, repeats: int = REPEATS) -> float:
    """The median duration of an epoch.

    Args:
        train_for: trains for a number of epochs.
        target: so many epochs are trained at a time that they take about as many seconds.
        repeats: how often.
    """
    train_for(1)
    epochs = max(2, round(2 * target / seconds(lambda: train_for(2))))
    return statistics.median(seconds(lambda: train_for(epochs)) for _ in range(repeats)) / epochs
