"""Train many learners: one setting of synchronous or decentralised SGD, a block of seeds, as one stack."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import torch

from awduality.commandline import Progress
from awduality.device import choose_device
from awduality.networks import weight_shapes
from awduality.study.step import Job, Outcome, each_run
from awduality.training.multilearner import EVALUATIONS, LAST, LearnerSolution, LearnerTraining, train_learners


def numbers_of(solution: LearnerSolution) -> dict[str, float]:
    """What the table says of a run: losses and errors at its solution and in the end."""
    history = solution.history
    at = int(np.flatnonzero(history["step"] == solution.step)[0])
    last = {name: float(np.median(values[-LAST:])) for name, values in history.items()}
    return {
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


def run(job: Job) -> Iterator[Outcome]:
    """A row per run; w̄ at its solution, and what was recorded on the way."""
    device, asked = choose_device(), job.asked
    logging.info("%d runs on %s with %d threads", len(job.runs), device, torch.get_num_threads())
    shapes = weight_shapes(job.split.features, job.split.classes, width=asked["width"], **asked["network"])
    training = LearnerTraining(shapes, asked["root_seed"], asked["train_size"], asked["target_loss"])
    for solution in train_learners(job.runs, job.split, training, device, Progress(EVALUATIONS, "evaluation")):
        parts = {"weights": dict(zip(shapes, solution.weights, strict=True))}
        parts |= {"history": solution.history, "course": solution.course}
        arrays = {f"{kind}/{name}": array for kind, part in parts.items() for name, array in part.items()}
        yield Outcome(solution.run, solution.stop_reason, numbers_of(solution), arrays)


if __name__ == "__main__":
    each_run(run)
