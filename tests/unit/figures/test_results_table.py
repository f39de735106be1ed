import csv

import numpy as np
import pytest
from scipy.stats import ttest_rel

from awduality.errors import InputError
from awduality.figures.results_table import results_table

GAPS = {"": [0.30, 0.20, 0.25], "0.5": [0.50, 0.45, 0.38], "0.01": [0.9, 0.9, 0.9]}


@pytest.fixture
def figures(tmp_path):
    """A sweep of the learning rate around the default 0.1; at 0.01 nothing converged."""

    def write(name, rows):
        with (tmp_path / name).open("w", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(rows)

    shown = {"0.01": "budget", "0.1": "converged", "0.5": "converged"}
    means = {value: np.mean(GAPS["" if value == "0.1" else value]) for value in shown}
    write(
        "learning_rate-gap.csv",
        [
            {"value": v, "shown": s, "gap_mean": means[v], "sharp_part_mean": 0.1, "flat_part_mean": 0.05}
            for v, s in shown.items()
        ],
    )
    write(
        "runs.csv",
        [
            {
                "factor": "learning_rate" if value else "baseline",
                "value": value,
                "seed": seed,
                "ended": "budget" if value == "0.01" else "converged",
                "gap": gap,
            }
            for value, gaps in GAPS.items()
            for seed, gap in enumerate(gaps)
        ],
    )
    return tmp_path


def test_a_row_spans_the_converged_values_with_the_change_paired_by_seed(figures):
    row = results_table(figures).splitlines()[2]
    interval = ttest_rel(GAPS["0.5"], GAPS[""]).confidence_interval(0.95)
    middle, half = (interval.low + interval.high) / 2, (interval.high - interval.low) / 2
    assert "| 0.1 → 0.5 | 0.250 → 0.443 |" in row
    assert f"| {middle:+.3f} ± {half:.3f} |" in row
    assert "[Learning rate]" in row


def test_a_folder_without_numbers_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no numbers of a converged sweep"):
        results_table(tmp_path)
