"""What a record costs a job, beside its own work: the time to compose and write it, in steps of the pipeline."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from awduality import commandline
from tests import study_calls
from tests.benchmarks.conftest import Record, Row
from tests.scripts import test_scripts as steps

REPETITIONS = 15


def test_records(record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Medians over repetitions, in one process in which everything is loaded, which is the dearest case."""
    spent: list[float] = []
    write = commandline.write_record

    def timed(*arguments: Any) -> None:
        start = time.perf_counter()
        write(*arguments)
        spent.append(time.perf_counter() - start)

    def recorded(script: str, *arguments: object) -> None:
        words = [*map(str, arguments), "--record", str(tmp_path / f"records/{script}.json")]
        import_module(script).main(words)

    def recorded_step(study: str, step: str, *arguments: Any) -> None:
        study_calls.shard_step(study, step, *arguments, record=tmp_path / f"records/{step}.json")

    def repeat(name: str, step: Callable[[], None]) -> Row:
        whole = []
        spent.clear()
        for _ in range(REPETITIONS):
            start = time.perf_counter()
            step()
            whole.append(time.perf_counter() - start)
        seconds = statistics.median(spent)
        return {"step": name, "seconds": statistics.median(whole) - seconds, "record": seconds}

    def measure() -> list[Row]:
        return [
            repeat("plan", lambda: steps.plan(tmp_path)),
            repeat("prepare_data", lambda: steps.prepare(tmp_path)),
            repeat("train", lambda: steps.train(tmp_path, steps.BASELINE)),
            repeat("geometry", lambda: steps.geometry(tmp_path, steps.BASELINE)),
        ]

    monkeypatch.chdir(root)
    monkeypatch.setattr(commandline, "write_record", timed)
    monkeypatch.setattr(steps, "call", recorded)
    monkeypatch.setattr(steps, "shard_step", recorded_step)
    record("records", measure)
    assert json.loads((tmp_path / "records/train.json").read_text())["streams"]
