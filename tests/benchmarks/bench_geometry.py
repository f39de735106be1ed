"""The geometry of one trained network: Hessian, pairs, dual weights and decomposition of its second layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmarks import ours, references
from tests.benchmarks.conftest import Record, Row
from tests.benchmarks.work import Geometry
from tests.benchmarks.workers import alone, at_once

pytestmark = [pytest.mark.timeout(3600), pytest.mark.mnist]

PROCESSES = 2  # at once; each result costs half of its duration
RESOLVED = 1e-5  # eigenvalues below, relative to the largest, may lie so close that rounding turns their directions


def assert_equal(one: Geometry, other: Geometry) -> None:
    """The same eigenvalues, the same σ along the directions that are well resolved, the same sum over all."""
    largest = one.eigenvalues[0]
    resolved = one.eigenvalues > RESOLVED * largest
    np.testing.assert_allclose(other.eigenvalues, one.eigenvalues, rtol=0, atol=1e-12 * largest)
    for name in ("sigma_g", "sigma_w"):
        np.testing.assert_allclose(getattr(other, name)[resolved], getattr(one, name)[resolved], rtol=1e-8)
    np.testing.assert_allclose(other.product.sum(), one.product.sum(), rtol=1e-10)


def test_geometry(record: Record, split_file: Path, config: dict[str, Any], solution: ours.Weights) -> None:
    """Equal results first; then how long each takes."""

    def measure() -> list[Row]:
        arguments = (split_file, config, solution)
        published, published_seconds = alone(references.geometry_seconds, "published", *arguments)
        tuned = at_once(references.geometry_seconds, [("tuned", *arguments)] * PROCESSES)
        project = at_once(ours.geometry_seconds, [arguments] * PROCESSES)
        mine, decompose_seconds, whole_seconds = map(list, zip(*project, strict=True))
        for other in (published, *(geometry for geometry, _ in tuned)):
            assert_equal(mine[0], other)
        once = sum(decompose_seconds) / PROCESSES**2
        seconds = {
            "published": published_seconds,
            "tuned": sum(duration for _, duration in tuned) / PROCESSES**2,
            "awduality, `decompose`": once,
            "awduality, a run's whole analysis": sum(whole_seconds) / PROCESSES**2,
        }
        return [{"what": what, "seconds": duration, "ratio": duration / once} for what, duration in seconds.items()]

    record("geometry", measure)
