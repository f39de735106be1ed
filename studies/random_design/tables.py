"""The table beside the figures: a row per run, with the fold that it belongs to."""

from __future__ import annotations

import itertools

from awduality.study.tables import Results, Row, Rows, run_rows, table_step

FOLDS = 5
"""Parts of a block, of which each is predicted from the others."""


def run(results: Results) -> dict[str, Rows]:
    """The table ``runs``; those of a block are dealt out to the folds in turn, in the order of the plan."""
    turns: dict[int, itertools.count[int]] = {}
    rows: list[Row] = []
    for row in run_rows(results):
        place = next(turns.setdefault(row["seed"], itertools.count()))
        rows.append({**row, "fold": place % FOLDS})
    return {"runs": rows}


if __name__ == "__main__":
    table_step(run)
