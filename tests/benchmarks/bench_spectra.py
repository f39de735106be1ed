"""Wide layers: from how many weights on the top directions alone, by products, cost less than all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import ours
from tests.benchmarks.conftest import Record, Row
from tests.benchmarks.workers import one_thread

pytestmark = [pytest.mark.timeout(3600), pytest.mark.mnist]

WIDTHS = (20, 30, 40, 50, 60, 100)
TOPS = (10, 20, 50)
LARGEST = 60  # units of a layer whose whole Hessian is diagonalised; 100 take minutes


def test_crossover(record: Record, split_file: Path, config: dict[str, Any]) -> None:
    """Seconds of all directions, and of the top ones, on one thread."""

    def measure() -> list[Row]:
        return one_thread(ours.spectrum_seconds, split_file, config, WIDTHS, TOPS, LARGEST)

    record("crossover", measure)
