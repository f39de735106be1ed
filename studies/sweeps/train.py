"""Train shards: a factor's values for a block of seeds, or the baseline; several shards as one ensemble."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import torch

from awduality.device import choose_device
from awduality.layers import weight_names
from awduality.study.step import Job, Outcome, each_run
from awduality.training.loop import train
from awduality.training.run import Training


def run(job: Job) -> Iterator[Outcome]:
    """A row per run, with its last losses and errors; its weights, layer by layer, and its history."""
    device = choose_device()
    logging.info("%d runs on %s with %d threads", len(job.runs), device, torch.get_num_threads())
    shared = {**job.asked["training"], **job.asked["network"]}
    training = Training(**shared, root_seed=job.asked["root_seed"])
    names = weight_names(training.hidden_layers, len(training.convolutions))
    for solution in train(job.runs, job.split, training, device, job.progress):
        last = {name: float(values[-1]) for name, values in solution.history.items()}
        numbers = {
            "epochs": solution.epochs,
            "steps": solution.steps,
            "train_loss": last["train_loss"],
            "test_loss": last["test_loss"],
            "train_error": 1 - last["train_accuracy"],
            "test_error": 1 - last["test_accuracy"],
        }
        arrays = {f"weights/{name}": array for name, array in zip(names, solution.weights, strict=True)}
        arrays |= {f"history/{name}": array for name, array in solution.history.items()}
        yield Outcome(solution.run, solution.stop_reason, numbers, arrays)


if __name__ == "__main__":
    each_run(run)
