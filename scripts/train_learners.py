"""Train many learners: one setting of synchronous or decentralised SGD, a block of seeds, as one stack."""

from __future__ import annotations

import argparse
import collections
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from awduality.commandline import Progress, parse, recorded, run
from awduality.data.splits import read_split
from awduality.device import choose_device
from awduality.files import write_arrays, write_table
from awduality.learners import canonical_settings
from awduality.networks import weight_shapes
from awduality.plan import Run
from awduality.training.multilearner import EVALUATIONS, LAST, LearnerSolution, LearnerTraining, train_learners


def row(solution: LearnerSolution) -> dict[str, object]:
    """The table's row of a run: settings, how it ended, losses and errors at its solution and in the end."""
    history = solution.history
    at = int(np.flatnonzero(history["step"] == solution.step)[0])
    last = {name: float(np.median(values[-LAST:])) for name, values in history.items()}
    return {
        "run": solution.run.id,
        **solution.run.settings,
        "seed": solution.run.seed,
        "stop_reason": solution.stop_reason,
        "step": solution.step,
        "train_loss": float(history["train_loss"][at]),
        "test_loss": float(history["test_loss"][at]),
        "train_error": 1 - float(history["train_accuracy"][at]),
        "test_error": 1 - float(history["test_accuracy"][at]),
        "last_train_loss": last["train_loss"],
        "last_test_loss": last["test_loss"],
        "last_test_error": 1 - last["test_accuracy"],
        "learner_test_error": 1 - last["learner_test_accuracy"],
    }


@recorded
def main(argv: list[str] | None = None) -> None:
    """Write a row per run, and w̄ at their solutions with what was recorded on the way."""
    parser = argparse.ArgumentParser(prog="scripts/train_learners.py", description=__doc__)
    parser.add_argument("--split", required=True, type=Path, help="the data, from prepare_data.py")
    parser.add_argument("--setting", required=True, type=json.loads, metavar="JSON", help="algorithm, learners …")
    parser.add_argument("--seeds", required=True, nargs="+", type=int, help="seed indices")
    parser.add_argument("--training", required=True, type=json.loads, metavar="JSON", help="what all runs share")
    parser.add_argument("--runs-out", required=True, type=Path, help="a row per run (CSV)")
    parser.add_argument("--solutions-out", required=True, type=Path, help="weights and histories (safetensors)")
    arguments = parse(parser, argv)
    setting, device = canonical_settings(arguments.setting), choose_device()
    logging.info("%d runs on %s with %d threads", len(arguments.seeds), device, torch.get_num_threads())
    split, shared = read_split(arguments.split), dict(arguments.training)
    rest = {name: shared.pop(name) for name in ("root_seed", "train_size", "target_loss")}
    shapes = weight_shapes(split.features, split.classes, **shared)
    training, progress = LearnerTraining(shapes, **rest), Progress(EVALUATIONS, "evaluation")
    runs = [Run(setting, seed) for seed in arguments.seeds]
    solutions = train_learners(runs, split, training, device, progress)
    arrays: dict[str, Any] = {}
    for solution in solutions:
        named = {"weights": dict(zip(shapes, solution.weights, strict=True))}
        named |= {"history": solution.history, "course": solution.course}
        arrays |= {f"{solution.run.id}/{kind}/{name}": a for kind, part in named.items() for name, a in part.items()}
    write_table(arguments.runs_out, [row(solution) for solution in solutions])
    write_arrays(arguments.solutions_out, arrays)
    logging.info("%s: %s", arguments.runs_out.stem, dict(collections.Counter(s.stop_reason for s in solutions)))


if __name__ == "__main__":
    run(main)
