"""What runs: networks of every perturbation and norm, stopped at one training loss, and measured there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from awduality.duality.determinants import MEASURES, determinants
from awduality.duality.pairing import nearest_pairs
from awduality.layers import by_layer, layer_names
from awduality.networks import weight_shapes
from awduality.runs import Run
from awduality.study.step import Job, Outcome, each_run
from awduality.training import schemes
from awduality.training.ensemble import Ensemble
from awduality.training.sharpness_aware import Ended, Stopping, descend
from studies.cause.study import HIDDEN_LAYERS
from studies.cause.tested import Tested, logits, measured

NORMS = tuple(f"norm_{name}" for name in layer_names(HIDDEN_LAYERS))
COLUMNS = ("layer", "steps", "end_loss", *MEASURES, *Tested._fields, *NORMS, "norm_error")


def stacks(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Runs that are trained at once: of one batch size, plain ones apart, since their steps cost half; by seed."""

    def kind(run: Run) -> tuple[int, bool]:
        return run.settings["batch_size"], run.settings["rho"] > 0

    for _, found in groupby(sorted(runs, key=kind), kind):
        yield sorted(found, key=lambda run: run.seed)


def trained(job: Job, runs: Sequence[Run]) -> list[tuple[Ended, list[float]]]:
    """How the runs of a stack ended, in their order, and the norms that their layers were held at, 0 where free."""
    asked = job.asked
    inputs, labels = job.split.train(asked["train_size"])
    seeds = sorted({run.seed for run in runs})
    shapes = weight_shapes(job.split.features, job.split.classes, asked["width"], HIDDEN_LAYERS).values()
    initial = {seed: schemes.initial_weights(shapes, 1.0, asked["root_seed"], seed) for seed in seeds}
    weights = [torch.from_numpy(np.stack(layer)) for layer in zip(*(initial[run.seed] for run in runs), strict=True)]
    times = torch.tensor([run.settings["norm"] for run in runs]).view(-1, 1, 1)
    norms: list[Tensor] = [torch.linalg.vector_norm(layer, dim=(1, 2), keepdim=True) * times for layer in weights]
    zero = torch.zeros(len(runs), 1, 1)
    ensemble = Ensemble(
        weights, [seeds.index(run.seed) for run in runs], zero + asked["learning_rate"], zero, zero, zero
    )
    found = descend(
        ensemble,
        [run.settings["rho"] for run in runs],
        norms,
        (torch.from_numpy(inputs), torch.from_numpy(labels)),
        [schemes.batch_order(len(inputs), asked["root_seed"], seed) for seed in seeds],
        runs[0].settings["batch_size"],
        Stopping(asked["target_loss"], asked["check_every"], asked["max_steps"]),
        lambda _, message: job.progress(0, message),
    )
    return list(zip(found, torch.cat(norms, dim=1)[..., 0].tolist(), strict=True))


def run(job: Job) -> Iterator[Outcome]:
    """A row per run; what is measured is measured of every run that did not diverge."""
    train = job.split.train(job.asked["train_size"])
    pairs = nearest_pairs(train, job.split.test)
    layer = job.asked["layers"][0]
    for stack in stacks(job.runs):
        for one, (ended, norms) in zip(stack, trained(job, stack), strict=True):
            numbers = {"layer": layer, "steps": ended.steps, "end_loss": ended.loss}
            if ended.reason != "diverged":
                numbers |= determinants(by_layer(ended.weights), layer, train, job.split.test, pairs=pairs)
                numbers |= measured(logits(ended.weights, job.split.test_inputs), job.split.test_labels)._asdict()
                lengths = [float(np.linalg.norm(matrix.astype(float))) for matrix in ended.weights]
                numbers |= dict(zip(NORMS, lengths, strict=True))
                errors = [abs(length / norm - 1) for length, norm in zip(lengths, norms, strict=True) if norm > 0]
                numbers["norm_error"] = max(errors, default="")
            yield Outcome(one, ended.reason, numbers)
            job.progress(1)


if __name__ == "__main__":
    each_run(run, COLUMNS)
