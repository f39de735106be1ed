"""Train one shard: a factor's values for a block of seeds, or the baseline."""

from __future__ import annotations

import argparse
import collections
import json
import logging
import os
from pathlib import Path

import numpy as np
import torch

from awduality.commandline import Progress, parse, run
from awduality.data.splits import read_split
from awduality.factors import BASELINE, FACTORS
from awduality.files import write_arrays, write_table
from awduality.plan import expand, layer_names
from awduality.training.device import choose_device
from awduality.training.loop import Solution, Training, train


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


def main(argv: list[str] | None = None) -> None:
    """Write a row per run, and their solutions and histories."""
    parser = argparse.ArgumentParser(prog="scripts/train.py", description=__doc__)
    parser.add_argument("--split", required=True, type=Path, help="the data, from prepare_data.py")
    parser.add_argument("--factor", required=True, choices=[BASELINE, *FACTORS])
    parser.add_argument(
        "--values", type=json.loads, default=[], metavar="JSON", help="[0.02, 0.05]; none for the baseline"
    )
    parser.add_argument("--seeds", required=True, type=json.loads, metavar="JSON", help="seed indices: [0, 1, 2]")
    parser.add_argument("--defaults", required=True, type=json.loads, metavar="JSON", help="every factor's default")
    parser.add_argument("--training", required=True, type=json.loads, metavar="JSON", help="what all runs share")
    parser.add_argument("--runs-out", required=True, type=Path, help="a row per run (CSV)")
    parser.add_argument("--solutions-out", required=True, type=Path, help="weights and histories (safetensors)")
    arguments = parse(parser, argv)
    runs = list(expand(arguments.defaults, arguments.factor, arguments.values, arguments.seeds))
    device = choose_device(os.environ.get("AWDUALITY_DEVICE", "auto"))
    logging.info("%d runs on %s with %d threads", len(runs), device, torch.get_num_threads())
    solutions = train(
        runs, read_split(arguments.split), Training(**arguments.training), device, Progress(len(runs), "run")
    )
    arrays: dict[str, np.ndarray] = {}
    for solution in solutions:
        names = layer_names(len(solution.weights) - 1)
        arrays |= {f"{solution.run.id}/weights/{name}": w for name, w in zip(names, solution.weights, strict=True)}
        arrays |= {f"{solution.run.id}/history/{name}": values for name, values in solution.history.items()}
    write_table(arguments.runs_out, [row(solution) for solution in solutions])
    write_arrays(arguments.solutions_out, arrays)
    logging.info("ended: %s", dict(collections.Counter(solution.stop_reason for solution in solutions)))


if __name__ == "__main__":
    run(main)
