"""Analyse the baseline's solutions under every null: shuffled scalars, a random basis, rescaled layers and neurons."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from awduality.commandline import Progress, parse, recorded, run
from awduality.data.splits import read_split
from awduality.device import choose_device
from awduality.duality.analysis import Analysis, weights_of
from awduality.duality.controls import COLUMNS, controls
from awduality.duality.summary import Row
from awduality.files import read_arrays, read_table, write_arrays, write_table


@recorded
def main(argv: list[str] | None = None) -> None:
    """Write a row per run, layer, null and draw, and the curves over the directions. Converged runs only."""
    parser = argparse.ArgumentParser(prog="scripts/nulls.py", description=__doc__)
    parser.add_argument("--split", required=True, type=Path, help="the data, from prepare_data.py")
    parser.add_argument("--runs", required=True, type=Path, help="the baseline's table of runs, from train.py")
    parser.add_argument("--solutions", required=True, type=Path, help="the weights, from train.py")
    parser.add_argument("--layers", required=True, nargs="+", help="fc2 …")
    parser.add_argument("--pairing", required=True, choices=["test_to_train", "train_to_test"])
    parser.add_argument("--sharp-directions", required=True, type=int, help="directions that make up the sharp part")
    parser.add_argument("--root-seed", required=True, type=int, help="of the random numbers of the nulls")
    parser.add_argument("--shuffles", required=True, type=int, help="draws of shuffled scalars")
    parser.add_argument("--rescalings", required=True, type=int, help="draws of each kind of rescaling")
    parser.add_argument("--nulls-out", required=True, type=Path, help="a row per run, layer, null and draw (CSV)")
    parser.add_argument("--curves-out", required=True, type=Path, help="arrays over directions (safetensors)")
    arguments = parse(parser, argv)
    analysis = Analysis(
        read_split(arguments.split),
        arguments.layers,
        [arguments.pairing],
        arguments.sharp_directions,
        arguments.root_seed,
        arguments.shuffles,
        choose_device(auto="cpu"),
    )
    runs = [entry for entry in read_table(arguments.runs) if entry["stop_reason"] == "converged"]
    solutions = read_arrays(arguments.solutions)
    rows: list[Row] = []
    arrays: dict[str, np.ndarray] = {}
    progress = Progress(len(runs), "run")
    for entry in runs:
        weights, size = weights_of(solutions, entry["run"]), int(entry["train_size"])
        found = controls(analysis, entry["run"], int(entry["seed"]), weights, size, arguments.rescalings)
        rows += found[0]
        arrays |= found[1]
        progress(1)
    write_table(arguments.nulls_out, rows, COLUMNS)
    write_arrays(arguments.curves_out, arrays)


if __name__ == "__main__":
    run(main)
