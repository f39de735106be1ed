"""Analyse the solutions of one shard: Hessian, pairs, dual weights, decomposition of the gap."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np

from awduality.commandline import Progress, parse, recorded, run
from awduality.data.splits import read_split
from awduality.device import choose_device
from awduality.duality.analysis import Analysis, weights_of
from awduality.duality.summary import COLUMNS, NULL_COLUMNS, Row
from awduality.files import read_arrays, read_table, write_arrays, write_table


@recorded
def main(argv: list[str] | None = None) -> None:
    """Write a row per run, layer and pairing, and the arrays behind it. Diverged runs are left out, with a log line."""
    parser = argparse.ArgumentParser(prog="scripts/geometry.py", description=__doc__)
    parser.add_argument("--split", required=True, type=Path, help="the data, from prepare_data.py")
    parser.add_argument("--runs", required=True, type=Path, help="the table of runs, from train.py")
    parser.add_argument("--solutions", required=True, type=Path, help="the weights, from train.py")
    parser.add_argument("--layers", required=True, nargs="+", help="fc2 …")
    parser.add_argument("--pairings", required=True, nargs="+", choices=["test_to_train", "train_to_test"])
    parser.add_argument("--sharp-directions", required=True, type=int, help="directions that make up the sharp part")
    parser.add_argument("--root-seed", required=True, type=int, help="of the random numbers of the nulls")
    parser.add_argument("--shuffles", required=True, type=int, help="draws of shuffled scalars, averaged")
    parser.add_argument("--geometry-out", required=True, type=Path, help="a row per run, layer and pairing (CSV)")
    parser.add_argument(
        "--directions-out", required=True, type=Path, help="arrays over directions and pairs (safetensors)"
    )
    arguments = parse(parser, argv)
    runs = read_table(arguments.runs)
    solutions = read_arrays(arguments.solutions)
    analysis = Analysis(
        read_split(arguments.split),
        arguments.layers,
        arguments.pairings,
        arguments.sharp_directions,
        arguments.root_seed,
        arguments.shuffles,
        choose_device(auto="cpu"),
    )
    rows: list[Row] = []
    arrays: dict[str, np.ndarray] = {}
    progress = Progress(len(runs), "run")
    for entry in runs:
        if entry["stop_reason"] == "diverged":
            logging.info("run %s diverged: it has no geometry", entry["run"])
        else:
            weights = weights_of(solutions, entry["run"])
            new_rows, new_arrays = analysis.network(entry["run"], int(entry["seed"]), weights, int(entry["train_size"]))
            rows += new_rows
            arrays |= new_arrays
        progress(1)
    write_table(arguments.geometry_out, rows, [*COLUMNS, *NULL_COLUMNS])
    write_arrays(arguments.directions_out, arrays)


if __name__ == "__main__":
    run(main)
