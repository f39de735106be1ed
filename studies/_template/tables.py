"""The numbers beside the figures: a row per run, and a row per run and direction."""

from __future__ import annotations

from awduality.study.tables import Results, Rows, labelled, run_rows, table_step

NAMES = ("curvature", "variance", "theory")


def run(results: Results) -> dict[str, Rows]:
    """The tables ``runs`` and ``spectrum``."""
    spectrum = [
        {**labelled(results, one), **dict(zip(NAMES, values, strict=True))}
        for one in results.runs
        if one.ended != "diverged"
        for values in zip(*(results.array("experiment", one, name) for name in NAMES), strict=True)
    ]
    return {"runs": run_rows(results), "spectrum": spectrum}


if __name__ == "__main__":
    table_step(run)
