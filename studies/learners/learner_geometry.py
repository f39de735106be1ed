"""Sharpness and size of the solutions of one setting of many learners."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import torch

from awduality.duality.pairing import nearest_pairs
from awduality.duality.solution import SOLUTION_COLUMNS, solution_row
from awduality.probe import Samples
from awduality.study.step import Job, Outcome, arrays_of, each_run


def run(job: Job) -> Iterator[Outcome]:
    """A row per run and layer, and the test losses. Diverged runs are left out, with a log line."""
    analysed, layers, directions = (job.asked[name] for name in ("analysed", "layers", "directions"))
    solutions, ended = job.arrays("train_learners"), job.ended("train_learners")
    both = (job.split.train(analysed), job.split.test)
    train, test = (Samples(torch.from_numpy(inputs).double(), torch.from_numpy(labels)) for inputs, labels in both)
    pairs = nearest_pairs(*both)
    for one in job.runs:
        if ended[one.id] == "diverged":
            logging.info("run %s diverged: it has no geometry", one.id)
        else:
            weights = arrays_of(solutions, one, "weights")
            found = [solution_row(weights, layer, train, test, pairs, directions) for layer in layers]
            yield Outcome(one, ended[one.id], [row for row, _ in found], {"test_losses": found[-1][1]})
        job.progress(1)


if __name__ == "__main__":
    each_run(run, SOLUTION_COLUMNS)
