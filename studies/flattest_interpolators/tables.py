"""The tables beside the figures: every interpolator beside the flattest that is known of its task, and the circle."""

from __future__ import annotations

from typing import Any

from awduality.study.tables import Results, Row, Rows, labelled, run_rows, table_step

TASK = ("inputs", "dimensions", "samples", "noise", "product", "seed")
NATURAL = ("random", "plain", "poisoned")
FLATTEST = ("flattest", "worst", "flat")  # arms whose S* may be the smallest known: of programs, the flattest's
CIRCLE = ("angle", "output", "target")
_CIRCLE_SAMPLES = 24  # the circle is shown at this number of samples, or the next larger


def with_reference(rows: list[Row], below: float) -> list[Row]:
    """Rows with S* over the flattest that is known of their task, and what claims choose by.

    ``reference`` is the smallest S* of the teacher, where it interpolates, of linear programs and of training with the
    penalty; ``generalises`` whether the error is below the limit; ``nearest`` whether a run is, of those of its task
    that do not, the one nearest to the flattest, among adversaries and among all others apart.
    """
    by_task: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        by_task.setdefault(_task(row), []).append(row)
    found = []
    for row in rows:
        same = [other for other in by_task[_task(row)] if other["ended"] == "converged"]
        flattest = [other for other in same if other["arm"] in FLATTEST]
        known = [float(other["least"] or other["free"]) for other in flattest]
        if float(row["noise"]) == 0 and float(row["product"]) == 0 and row["teacher_free"] != "":
            known.append(float(row["teacher_free"]))
        bad = [other for other in same if _kind(other) == _kind(row) != "" and not _good(other, below)]
        nearest = min(bad, key=lambda other: float(other["free"]))["run"] if bad else None
        reference: Any = min(known) if known else ""
        found.append(
            {
                **row,
                "reference": reference,
                "over_reference": float(row["free"]) / reference if known and row["free"] != "" else "",
                "generalises": "yes" if _good(row, below) else "no",
                "nearest": "yes" if row["run"] == nearest else "no",
            }
        )
    return found


def _task(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in TASK)


def _kind(row: Row) -> str:
    return "natural" if row["arm"] in NATURAL else "adversary" if row["arm"] == "adversary" else ""


def _good(row: Row, below: float) -> bool:
    return row["test_error"] != "" and float(row["test_error"]) < below


def circle_rows(results: Results) -> list[Row]:
    """Of the first seed: the flattest interpolator on the circle, at every level of noise, and the samples."""
    shown = [
        one
        for one in results.runs
        if one.settings["arm"] == "flattest"
        and one.settings["dimensions"] == 2
        and one.settings["product"] == 0
        and one.seed == 0
        and one.ended != "none"
    ]
    sizes = sorted({one.settings["samples"] for one in shown})
    size = next((size for size in sizes if size >= _CIRCLE_SAMPLES), sizes[-1] if sizes else 0)
    rows: list[Row] = []
    for one in shown:
        if one.settings["samples"] == size:
            arrays = results.arrays("experiment", one)
            head = {**labelled(results, one)}
            for values in zip(*(arrays[name] for name in CIRCLE), strict=True):
                rows.append({**head, "what": "function", **dict(zip(CIRCLE, map(_short, values), strict=True))})
            for angle, label in zip(arrays["sample_angle"], arrays["sample_label"], strict=True):
                rows.append({**head, "what": "sample", "angle": _short(angle), "output": _short(label), "target": ""})
    return rows


def _short(value: float) -> float:
    return float(f"{value:.7g}")


def run(results: Results) -> dict[str, Rows]:
    """The tables ``runs`` and ``circle``."""
    rows = with_reference(run_rows(results), results.asked["generalises_below"])
    heads = ["config", "run", *(name for name in rows[0] if name in results.runs[0].settings), "seed", "what", *CIRCLE]
    return {"runs": rows, "circle": (circle_rows(results), heads)}


if __name__ == "__main__":
    table_step(run)
