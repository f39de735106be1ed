"""How the project's costs grow: training with runs, width and batch size; geometry with samples and width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import ours
from tests.benchmarks.bench_limits import stack
from tests.benchmarks.conftest import Record, Row
from tests.benchmarks.workers import one_thread

pytestmark = [pytest.mark.timeout(3600), pytest.mark.mnist]

RUNS = (1, 2, 5, 10, 20, 40)
WIDTHS = (10, 30, 100)
BATCH_SIZES = (5, 25, 100, 400)
SAMPLES = (1000, 4000, 16000, 32000)
GEOMETRY_WIDTHS = (10, 20, 30, 45)
TARGET = 0.5  # seconds of a measurement


def test_training_curves(record: Record, split_file: Path, config: dict[str, Any]) -> None:
    """Microseconds per run and step, evaluation after every epoch included, on one thread."""

    def measure() -> list[Row]:
        cases = [("runs of one seed", number, stack(config, 1, number)) for number in RUNS]
        cases += [("runs of different seeds", number, stack(config, number, 1)) for number in RUNS]
        cases += [("width, 5 seeds", width, stack(config, 5, 1, width=width)) for width in WIDTHS]
        cases += [("batch size, 5 seeds", size, stack(config, 5, 1, batch_size=size)) for size in BATCH_SIZES]
        found = one_thread(ours.epoch_seconds, split_file, config, [runs for _, _, runs in cases], TARGET)
        rows = []
        for (curve, value, runs), seconds in zip(cases, found, strict=True):
            settings = runs[0].settings
            steps = -(-int(settings["train_size"]) // int(settings["batch_size"]))
            rows.append({"curve": curve, "value": value, "microseconds": seconds / steps / len(runs) * 1e6})
        return rows

    record("training-curves", measure)


def test_geometry_curves(record: Record, split_file: Path, config: dict[str, Any]) -> None:
    """Seconds of ``decompose`` on one thread."""

    def measure() -> list[Row]:
        width, size = (int(config["defaults"][name]) for name in ("width", "train_size"))
        cases = [("training samples", (number, width)) for number in SAMPLES]
        cases += [("width", (size, number)) for number in GEOMETRY_WIDTHS]
        found = one_thread(ours.decompose_seconds, split_file, [case for _, case in cases])
        return [
            {"curve": curve, "value": samples if curve == "training samples" else units, "seconds": seconds}
            for (curve, (samples, units)), seconds in zip(cases, found, strict=True)
        ]

    record("geometry-curves", measure)
