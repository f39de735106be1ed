"""How close training comes to the limit of a core: its rate of operations as a share of that of large products.

Only products are counted: forward, backward and update for every sample of an epoch, and one forward for every training
and test sample after it. Everything else that an epoch needs counts as time without operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from awduality.runs import Run
from studies.sweeps.study import expand
from tests.benchmarks import machine, ours
from tests.benchmarks.conftest import Record, Row
from tests.benchmarks.workers import one_thread

pytestmark = [pytest.mark.timeout(3600), pytest.mark.mnist]

CASES: dict[str, tuple[tuple[int, ...], int, int]] = {  # batch sizes, seeds, learning rates
    "20 rates of one seed": ((25, 100, 400), 1, 20),
    "4 rates of 5 seeds": ((25, 100, 400), 5, 4),
    "5 seeds": ((5, 25, 100, 400), 5, 1),
}


def stack(config: dict[str, Any], seeds: int, rates: int, **change: float) -> list[Run]:
    """Runs that differ in seed and in learning rate alone."""
    values = [0.1 * (rate + 1) / rates for rate in range(rates)]
    return list(expand({**config["defaults"], **change}, "learning_rate", values, range(seeds)))


def operations(run: Run, features: int, classes: int, tested: int) -> int:
    """Floating-point operations of the products in one epoch of a run."""
    size, width = (int(run.settings[name]) for name in ("train_size", "width"))
    behind = width * width + width * classes
    forward = 2 * (features * width + behind)
    return size * (2 * forward + 2 * behind) + (size + tested) * forward


def beside_sgemm(
    split_file: Path, config: dict[str, Any], stacks: Sequence[Sequence[Run]]
) -> tuple[list[float], list[float]]:
    """Seconds per epoch of every stack, and the rate of large products in the same process before and after."""
    before = machine.sgemm()
    seconds = ours.epoch_seconds(split_file, config, stacks)
    return seconds, [before, machine.sgemm()]


def test_limits(record: Record, split_file: Path, config: dict[str, Any]) -> None:
    """Operations per second of a stack, and as a share of what large products reach."""

    def measure() -> list[Row]:
        cases = [
            (case, size, stack(config, seeds, rates, batch_size=size))
            for case, (sizes, seeds, rates) in CASES.items()
            for size in sizes
        ]
        found, sgemm = one_thread(beside_sgemm, split_file, config, [runs for _, _, runs in cases])
        limit = sum(sgemm) / len(sgemm)
        rows = []
        for (case, size, runs), seconds in zip(cases, found, strict=True):
            counted = sum(operations(run, 784, 10, config["data"]["test"]["count"]) for run in runs)
            rate = counted / seconds / 1e9
            rows.append({"case": case, "batch_size": size, "rate": rate, "sgemm": limit, "share": rate / limit})
        return rows

    record("limits", measure)
