"""Training: seconds per epoch and whole sweeps, *published* and *tuned* against the project.

Times are those of the whole machine: two processes at once share it, so a run that one of them trains costs half of its
duration; a stack's duration is shared by its runs.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest

from awduality.runs import Run
from awduality.study.plan import group_of, shards
from tests.benchmarks import machine, ours, references
from tests.benchmarks.conftest import BATCH_SIZES, CHANGES, Record, Row
from tests.benchmarks.workers import alone, at_once, one_thread

pytestmark = [pytest.mark.timeout(3600), pytest.mark.mnist]

BLOCKS = 2  # of seeds, each trained by a process of its own
HYPER_PARAMETERS = ("learning_rate", "weight_decay", "init_scale", "dropout")
Costs = dict[str, dict[str, float]]
Epochs = dict[tuple[str, float], list[int]]


def test_machine(record: Record) -> None:
    def measure() -> list[Row]:
        return [{**one_thread(machine.describe), **one_thread(machine.measure)}]

    record("machine", measure)


def stacks(config: dict[str, Any], block: int) -> list[list[Run]]:
    """What one process of the pipeline trains at once: five seeds per batch size, and those of all learning rates."""
    of_shards = shards(config)
    runs = of_shards[f"baseline-{block}"] + of_shards[f"batch_size-{block}"]
    by_size = [[run for run in runs if run.settings["batch_size"] == size] for size in BATCH_SIZES]
    return [*by_size, of_shards[f"learning_rate-{block}"]]


def test_epoch(record: Record, split_file: Path, config: dict[str, Any], epoch_costs: Costs) -> None:
    """Seconds per epoch of a run; it does not matter to the references what else is trained."""

    def measure() -> list[Row]:
        found = at_once(ours.epoch_seconds, [(split_file, config, stacks(config, block)) for block in range(BLOCKS)])
        rows = []
        for stack, *durations in zip(stacks(config, 0), *found, strict=True):
            size = stack[0].settings["batch_size"]
            cost = sum(durations) / BLOCKS / BLOCKS / len(stack)
            times = {name: costs[f"B = {size}"] for name, costs in epoch_costs.items()}
            rows.append({"batch_size": size, "runs": len(stack), **compared(times, cost)})
        return rows

    record("training", measure)


def compared(references: dict[str, float], ours: float) -> Row:
    """Durations and their ratios."""
    ratios = {f"{name}_ratio": duration / ours for name, duration in references.items()}
    return {**references, "ours": ours, **ratios}


def whole_sweeps(
    split_file: Path, config: dict[str, Any], factors: tuple[str, ...], repeats: int
) -> tuple[float, Epochs]:
    """The median duration of the factors' shards, each process with a block of seeds; and every run's epochs."""
    of_block: list[dict[str, list[Run]]] = [{} for _ in range(BLOCKS)]
    for name, runs in shards(config).items():
        if group_of(name) in factors:
            of_block[int(name.rpartition("-")[2])][name] = runs
    found = at_once(ours.train_shards, [(split_file, config, block, repeats) for block in of_block])
    durations = [max(together) for together in zip(*(durations for durations, _ in found), strict=True)]
    epochs: Epochs = {}
    for _, of_process in found:
        for run, numbers in of_process.items():
            epochs[run] = epochs.get(run, []) + numbers
    return statistics.median(durations), epochs


def extrapolated(costs: dict[str, float], epochs: Epochs, decay_epochs: int) -> float:
    """What a reference needs for as many epochs of every run; weight decay costs in the first epochs only."""
    total = 0.0
    for (factor, value), numbers in epochs.items():
        usual = costs["B = 25"]
        if factor == "batch_size":
            total += sum(numbers) * costs[f"B = {value:g}"]
        elif factor == "weight_decay":
            with_decay = sum(min(number, decay_epochs) for number in numbers)
            total += with_decay * costs["weight decay"] + (sum(numbers) - with_decay) * usual
        else:
            total += sum(numbers) * (costs["dropout"] if factor == "dropout" else usual)
    return total


@pytest.mark.parametrize(
    ("name", "factors", "repeats"),
    [("batch size", ("baseline", "batch_size"), 3), ("rate, decay, scale, dropout", HYPER_PARAMETERS, 1)],
    ids=["batch_size", "others"],
)
def test_sweep(
    record: Record,
    split_file: Path,
    config: dict[str, Any],
    epoch_costs: Costs,
    name: str,
    factors: tuple[str, ...],
    repeats: int,
) -> None:
    """A whole sweep to the target loss: the project's measured, the references' from the epochs that it takes."""

    def measure() -> list[Row]:
        duration, epochs = whole_sweeps(split_file, config, factors, repeats)
        numbers = [number for of_value in epochs.values() for number in of_value]
        decay_epochs = config["training"]["weight_decay_epochs"]
        times = {name: extrapolated(costs, epochs, decay_epochs) for name, costs in epoch_costs.items()}
        return [{"sweep": name, "runs": len(numbers), "epochs": sum(numbers), **compared(times, duration)}]

    record("sweeps", measure)


def test_extrapolation(record: Record, split_file: Path, config: dict[str, Any], epoch_costs: Costs) -> None:
    """One run to its target takes as long as its epochs times the duration of an epoch."""

    def measure() -> list[Row]:
        change = CHANGES["B = 100"]
        epochs, duration = alone(references.complete_run, "published", split_file, config, change)
        expected = epochs * epoch_costs["published"]["B = 100"]
        ratio = duration / expected
        return [{"batch_size": 100, "epochs": epochs, "expected": expected, "measured": duration, "ratio": ratio}]

    record("extrapolation", measure)
