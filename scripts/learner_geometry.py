"""Sharpness and size of the solutions of one setting of many learners."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import torch

from awduality.commandline import Progress, parse, recorded, run
from awduality.data.splits import read_split
from awduality.duality.analysis import weights_of
from awduality.duality.pairing import nearest_pairs
from awduality.duality.solution import SOLUTION_COLUMNS, solution_row
from awduality.duality.summary import Row
from awduality.files import read_arrays, read_table, write_arrays, write_table
from awduality.probe import Samples


@recorded
def main(argv: list[str] | None = None) -> None:
    """Write a row per run and layer, and the test losses. Diverged runs are left out, with a log line."""
    parser = argparse.ArgumentParser(prog="scripts/learner_geometry.py", description=__doc__)
    parser.add_argument("--split", required=True, type=Path, help="the data, from prepare_data.py")
    parser.add_argument("--runs", required=True, type=Path, help="the table of runs, from train_learners.py")
    parser.add_argument("--solutions", required=True, type=Path, help="the weights, from train_learners.py")
    parser.add_argument("--layers", required=True, nargs="+", help="fc2 …")
    parser.add_argument("--analysed", required=True, type=int, help="training samples for the Hessian and the pairs")
    parser.add_argument("--directions", required=True, type=int, help="directions of largest eigenvalue")
    parser.add_argument("--geometry-out", required=True, type=Path, help="a row per run and layer (CSV)")
    parser.add_argument("--losses-out", required=True, type=Path, help="the loss of every test sample (safetensors)")
    arguments = parse(parser, argv)
    runs, solutions = read_table(arguments.runs), read_arrays(arguments.solutions)
    split = read_split(arguments.split)
    train, test = (
        Samples(torch.from_numpy(inputs).double(), torch.from_numpy(labels))
        for inputs, labels in (split.train(arguments.analysed), split.test)
    )
    pairs = nearest_pairs(split.train(arguments.analysed), split.test)
    rows: list[Row] = []
    arrays: dict[str, np.ndarray] = {}
    progress = Progress(len(runs), "run")
    for entry in runs:
        if entry["stop_reason"] == "diverged":
            logging.info("run %s diverged: it has no geometry", entry["run"])
        else:
            weights = weights_of(solutions, entry["run"])
            for layer in arguments.layers:
                row, losses = solution_row(weights, layer, train, test, pairs, arguments.directions)
                rows.append({"run": entry["run"], **row})
                arrays[f"{entry['run']}/test_losses"] = losses
        progress(1)
    write_table(arguments.geometry_out, rows, SOLUTION_COLUMNS)
    write_arrays(arguments.losses_out, arrays)


if __name__ == "__main__":
    run(main)
