"""Train shards: a factor's values for a block of seeds, or the baseline; several shards as one ensemble."""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import logging
from pathlib import Path

import numpy as np
import torch

from awduality.commandline import Progress, parse, recorded, run
from awduality.data.splits import read_split
from awduality.device import choose_device
from awduality.errors import InputError
from awduality.files import write_arrays, write_table
from awduality.plan import expand, weight_names
from awduality.training.loop import train
from awduality.training.run import Solution, Training


def row(solution: Solution) -> dict[str, object]:
    """The table's row of a run: settings, how it ended, and its last losses and errors."""
    last = {name: float(values[-1]) for name, values in solution.history.items()}
    return {
        "run": solution.run.id,
        **solution.run.settings,
        "seed": solution.run.seed,
        "epochs": solution.epochs,
        "steps": solution.steps,
        "stop_reason": solution.stop_reason,
        "train_loss": last["train_loss"],
        "test_loss": last["test_loss"],
        "train_error": 1 - last["train_accuracy"],
        "test_error": 1 - last["test_accuracy"],
    }


@recorded
def main(argv: list[str] | None = None) -> None:
    """Write a row per run, and their solutions and histories."""
    parser = argparse.ArgumentParser(prog="scripts/train.py", description=__doc__)
    parser.add_argument("--split", required=True, type=Path, help="the data, from prepare_data.py")
    described = '[{"factor": "dropout", "values": [0.1, 0.2], "seeds": [0, 1]}, …]; no values for the baseline'
    parser.add_argument("--shards", required=True, type=json.loads, metavar="JSON", help=described)
    parser.add_argument("--defaults", required=True, type=json.loads, metavar="JSON", help="every factor's default")
    parser.add_argument("--training", required=True, type=json.loads, metavar="JSON", help="what all runs share")
    parser.add_argument("--runs-out", required=True, nargs="+", type=Path, help="per shard, a row per run (CSV)")
    parser.add_argument("--solutions-out", required=True, nargs="+", type=Path, help="per shard, weights, histories")
    arguments = parse(parser, argv)
    shards = [list(expand(arguments.defaults, **shard)) for shard in arguments.shards]
    outputs, count = (len(arguments.runs_out), len(arguments.solutions_out)), len(shards)
    if outputs != (count, count):
        raise InputError(f"got {count} shards, but {outputs} files to write runs and solutions to: wanted as many")
    runs, device = [run for shard in shards for run in shard], choose_device()
    logging.info("%d runs on %s with %d threads", len(runs), device, torch.get_num_threads())
    split, training = read_split(arguments.split), Training(**arguments.training)
    solutions = iter(train(runs, split, training, device, Progress(len(runs), "run")))
    names = weight_names(training.hidden_layers, len(training.convolutions))
    for shard, runs_out, solutions_out in zip(shards, arguments.runs_out, arguments.solutions_out, strict=True):
        write_shard(list(itertools.islice(solutions, len(shard))), names, runs_out, solutions_out)


def write_shard(solutions: list[Solution], names: list[str], runs_out: Path, solutions_out: Path) -> None:
    """Write the table of a shard's runs, and their weights, layer by layer, and histories."""
    arrays: dict[str, np.ndarray] = {}
    for solution in solutions:
        run = solution.run.id
        arrays |= {f"{run}/weights/{name}": array for name, array in zip(names, solution.weights, strict=True)}
        arrays |= {f"{run}/history/{name}": array for name, array in solution.history.items()}
    write_table(runs_out, [row(solution) for solution in solutions])
    write_arrays(solutions_out, arrays)
    logging.info("%s: %s", runs_out.stem, dict(collections.Counter(solution.stop_reason for solution in solutions)))


if __name__ == "__main__":
    run(main)
