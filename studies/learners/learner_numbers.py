"""Gather the numbers that the figures of many learners show, as tables beside them."""

from __future__ import annotations

from awduality.study.tables import Results, Rows, table_step
from studies.learners import numbers


def run(found: Results) -> dict[str, Rows]:
    """Three tables; a study without a converged run still gets their headers."""
    results = numbers.read_study(found.folder, found.asked["layers"][0])
    return {
        "runs": (numbers.run_rows(results), numbers.RUN_COLUMNS),
        "course": (numbers.course_rows(results), numbers.COURSE_COLUMNS),
        "samples": (numbers.sample_rows(results), ("sample", *results.experiments)),
    }


if __name__ == "__main__":
    table_step(run)
