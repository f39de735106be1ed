"""Learners: milliseconds per step and run in a stack, against a process per learner."""

from __future__ import annotations

import pytest

from tests.benchmarks import learners
from tests.benchmarks.conftest import Record, Row
from tests.benchmarks.workers import at_once, one_thread

pytestmark = pytest.mark.timeout(3600)

TOTAL_BATCHES = (200, 2_000)
STACK = 5  # runs of a shard
CORES = 2


@pytest.mark.parametrize("total_batch", TOTAL_BATCHES)
def test_learners(record: Record, total_batch: int) -> None:
    """One run alone, on one core; and what a run costs the machine when both cores have a stack of runs."""

    def measure() -> list[Row]:
        processes = learners.processes(total_batch)
        alone = one_thread(learners.stacked, total_batch, 1)
        both = at_once(learners.stacked, [(total_batch, STACK)] * CORES)
        runs = CORES * STACK
        elapsed, busy = sum(cost.elapsed for cost in both) / CORES / runs, sum(cost.busy for cost in both) / runs
        rows = []
        for what, stacked in {"1": alone, f"{CORES} × {STACK}": learners.Cost(elapsed, busy)}.items():
            row = {"total_batch": total_batch, "runs": what}
            for kind in ("elapsed", "busy"):
                ours, theirs = getattr(stacked, kind), getattr(processes, kind)
                row |= {f"stacked_{kind}": ours, f"processes_{kind}": theirs, f"ratio_{kind}": theirs / ours}
            rows.append(row)
        return rows

    record("learners", measure)
