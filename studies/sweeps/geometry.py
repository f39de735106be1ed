"""Analyse the solutions of a shard: Hessian, pairs, dual weights, decomposition of the gap."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from awduality.device import choose_device
from awduality.duality.analysis import Analysis
from awduality.duality.summary import COLUMNS, NULL_COLUMNS
from awduality.duality.temperature import TEMPERED_COLUMNS
from awduality.study.step import Job, Outcome, arrays_of, each_run


def analysis_of(job: Job) -> Analysis:
    """How the job decomposes networks."""
    asked = job.asked
    return Analysis(
        job.split,
        asked["layers"],
        asked["pairings"],
        asked["sharp_directions"],
        asked["root_seed"],
        asked["shuffles"],
        choose_device(auto="cpu"),
        asked.get("loss", "cross_entropy"),
    )


def run(job: Job) -> Iterator[Outcome]:
    """A row per run, layer and pairing, and the arrays behind it. Diverged runs are left out, with a log line."""
    analysis, solutions, ended = analysis_of(job), job.arrays("train"), job.ended("train")
    for one in job.runs:
        if ended[one.id] == "diverged":
            logging.info("run %s diverged: it has no geometry", one.id)
        else:
            weights = arrays_of(solutions, one, "weights")
            rows, arrays = analysis.network(one.id, one.seed, weights, one.settings["train_size"])
            found = {name.removeprefix(f"{one.id}/"): array for name, array in arrays.items()}
            yield Outcome(one, ended[one.id], rows, found)
        job.progress(1)


if __name__ == "__main__":
    each_run(run, [*COLUMNS, *NULL_COLUMNS, *TEMPERED_COLUMNS])
