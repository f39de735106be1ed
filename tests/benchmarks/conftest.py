"""Fixtures of the benchmarks: the data, and numbers that several of them need, each measured once.

Processes time themselves (``workers.py``). What the plugin's own clock says covers a whole measurement, the start of
processes included; the results are in ``extra_info``, as rows of the tables that ``report.py`` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from awduality.data.sources import load
from awduality.data.splits import split_arrays
from awduality.files import write_arrays
from tests.benchmarks import ours, references
from tests.benchmarks.work import mnist_config
from tests.benchmarks.workers import alone, at_once, one_thread

Row = dict[str, Any]
Record = Callable[[str, Callable[[], list[Row]]], list[Row]]

BATCH_SIZES = (25, 100, 200, 400)
CHANGES: dict[str, Mapping[str, float]] = {
    **{f"B = {size}": {"batch_size": size} for size in BATCH_SIZES},
    "weight decay": {"weight_decay": 0.01},
    "dropout": {"dropout": 0.1},
}
"""The changes of the defaults that make an epoch of the references cost something else."""


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """The machine's name is nobody's business."""
    machine_info.pop("node", None)


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """Make a measurement once, and keep the rows that it gives for a table of the report."""
    benchmark = request.getfixturevalue("benchmark")

    def recorded(table: str, measure: Callable[[], list[Row]]) -> list[Row]:
        rows = benchmark.pedantic(measure, rounds=1, iterations=1)
        benchmark.extra_info[table] = rows
        return rows

    return recorded


@pytest.fixture(scope="session")
def config() -> dict[str, Any]:
    return mnist_config()


@pytest.fixture(scope="session")
def split_file(mnist_root: Path, config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The split of the authors' scale."""
    path = tmp_path_factory.mktemp("data") / "mnist.safetensors"
    data = config["data"]
    arrays = split_arrays(load("mnist", mnist_root), data["permutation_seed"], data["pool"], data["test"])
    write_arrays(path, arrays)
    return path


@pytest.fixture(scope="session")
def epoch_costs(split_file: Path, config: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Seconds of the machine that the references need per epoch of a run, by reference and change.

    One run of *published* has the whole machine; of *tuned* there are two at once, so that each costs half of its
    duration.
    """
    changes = list(CHANGES.values())
    whole = alone(references.epoch_seconds, "published", split_file, config, changes)
    both = at_once(references.epoch_seconds, [("tuned", split_file, config, changes)] * 2)
    return {
        "published": dict(zip(CHANGES, whole, strict=True)),
        "tuned": {change: sum(two) / 4 for change, *two in zip(CHANGES, *both, strict=True)},
    }


@pytest.fixture(scope="session")
def solution(split_file: Path, config: dict[str, Any]) -> ours.Weights:
    """A trained network."""
    return one_thread(ours.solution, split_file, config, 0)
