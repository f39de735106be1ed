"""The table beside the figures: a row per run."""

from __future__ import annotations

from awduality.study.tables import Results, Rows, run_rows, table_step


def run(results: Results) -> dict[str, Rows]:
    """The table ``runs``."""
    return {"runs": run_rows(results)}


if __name__ == "__main__":
    table_step(run)
