"""The tables beside the figures: all runs, coherence at matched losses, courses, and the toy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from awduality.study.tables import Planned, Results, Row, Rows, run_rows, table_step
from studies.gradient_coherence.experiment import AT
from studies.gradient_coherence.tasks import COHERENCE
from studies.gradient_coherence.toy import LIMITS, unseen_loss

_POINTS = 100  # of a course, evenly on a logarithmic scale of steps
_WINDOW = 40  # steps over which coherence is compared at equal times
_STARTED = 0.95  # of its first loss: there the run with real labels has left its start

COURSE = ("loss", "coherence", "sign_null", "pristine_part", "accuracy", "clean_accuracy", "corrupted_accuracy")


def thinned(steps: np.ndarray, points: int = _POINTS) -> np.ndarray:
    """Positions of at most so many records, evenly on a logarithmic scale of steps, first and last among them."""
    wanted = np.geomspace(1, steps[-1] + 1, points) - 1
    return np.unique(np.searchsorted(steps, wanted))


def course_rows(results: Results, rows: Sequence[Row]) -> list[Row]:
    """The course of every run whose coherence is followed."""
    shares = {row["run"]: row["pristine_share"] for row in rows}
    found = []
    for one in _coherent(results):
        course = results.arrays("experiment", one)
        for place in thinned(course["step"]):
            words = {"run": one.id, "permuted": one.settings["permuted"], "seed": one.seed}
            words["pristine_share"] = shares[one.id]
            numbers = {name: _or_empty(course[name][place]) for name in COURSE}
            found.append({**results.labels, **words, "step": int(course["step"][place]), **numbers})
    return found


def matched_rows(results: Results, rows: Sequence[Row]) -> list[Row]:
    """A row per run and loss: its coherence where the training loss first is so low, empty where it never is."""
    heads = list(rows[0])[: list(rows[0]).index("ended") + 1]
    return [
        {**{name: row[name] for name in heads}, "matched_loss": loss, "coherence": row[f"{AT}{loss:g}"]}
        for row in rows
        if row["task"] == COHERENCE
        for loss in results.asked["matched_losses"]
    ]


def window_means(results: Results) -> dict[str, float]:
    """Run → its mean coherence over 40 steps from where the run with real labels, of its seed, has left its start."""
    courses = [(one, results.arrays("experiment", one)) for one in _coherent(results)]
    starts: dict[Any, int] = {}
    for one, course in courses:
        left = np.flatnonzero(course["loss"] <= _STARTED * course["loss"][0])
        if one.settings["permuted"] == 0 and len(left):
            starts[_beside(one)] = int(course["step"][left[0]])
    found = {}
    for one, course in courses:
        if (start := starts.get(_beside(one))) is not None:
            within = (course["step"] >= start) & (course["step"] <= start + _WINDOW)
            if within.any():
                found[one.id] = float(course["coherence"][within].mean())
    return found


def _beside(one: Planned) -> tuple[Any, ...]:
    return (*(value for name, value in one.settings.items() if name != "permuted"), one.seed)


def _coherent(results: Results) -> list[Planned]:
    return [one for one in results.runs if one.settings["task"] == COHERENCE and one.ended != "none"]


def _or_empty(value: float) -> float | str:
    return float(value) if np.isfinite(value) else ""


def toy_rows(results: Results) -> list[Row]:
    """The toy with and without the common feature: loss of the row that was not trained on, and its limit."""
    rows = []
    for feature, limit in LIMITS.items():
        loss = unseen_loss(feature == "common")
        row = {"feature": feature, "seed": 0, "ended": "converged", "unseen_loss": loss, "limit": limit}
        rows.append({**results.labels, **row, "deviation": abs(loss - limit)})
    return rows


def run(results: Results) -> dict[str, Rows]:
    """Four tables."""
    window = window_means(results)
    rows = [{**row, "window_coherence": window.get(row["run"], "")} for row in run_rows(results)]
    courses = ["config", "dataset", "run", "permuted", "seed", "pristine_share", "step", *COURSE]
    return {
        "runs": rows,
        "matched": matched_rows(results, rows),
        "course": (course_rows(results, rows), courses),
        "toy": toy_rows(results),
    }


if __name__ == "__main__":
    table_step(run)
