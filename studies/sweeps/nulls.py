"""Analyse the baseline's solutions under every null: shuffled scalars, a random basis, rescaled layers and neurons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from awduality.duality.controls import COLUMNS, controls
from awduality.study.step import Job, Outcome, arrays_of, each_run
from studies.sweeps.geometry import analysis_of


def run(job: Job) -> Iterator[Outcome]:
    """A row per run, layer, null and draw, for the first pairing, and curves over directions. Converged runs only."""
    whole = analysis_of(job)
    analysis = replace(whole, pairings=whole.pairings[:1])
    solutions, ended = job.arrays("train"), job.ended("train")
    for one in job.runs:
        if ended[one.id] == "converged":
            weights = arrays_of(solutions, one, "weights")
            size, rescalings = one.settings["train_size"], job.asked["rescalings"]
            rows, arrays = controls(analysis, one.id, one.seed, weights, size, rescalings)
            found = {name.removeprefix(f"{one.id}/"): array for name, array in arrays.items()}
            yield Outcome(one, numbers=rows, arrays=found)
        job.progress(1)


if __name__ == "__main__":
    each_run(run, COLUMNS)
