"""What runs: networks trained to one training loss; sharpness, size, and the gap with and without a temperature."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from awduality.duality.determinants import MEASURES, determinants
from awduality.duality.pairing import nearest_pairs
from awduality.duality.temperature import TEMPERED_COLUMNS, tempered_numbers
from awduality.layers import weight_names
from awduality.networks import from_weights
from awduality.probe import Samples
from awduality.runs import Run
from awduality.study.step import Job, Outcome, each_run
from awduality.training.loop import train
from awduality.training.run import Training
from studies.overconfidence.study import TRAINING

COLUMNS = ("layer", "steps", *MEASURES, "train_error", "test_error", "error_gap", *TEMPERED_COLUMNS)


def engine_run(one: Run, train_size: int, width: int) -> Run:
    """A run as the library knows it, with what this study does not vary."""
    fixed = {"l2": 0.0, "init_scale": 1.0, "dropout": 0.0, "label_noise": 0.0, "train_size": train_size, "width": width}
    return Run({**fixed, **one.settings}, one.seed)


def run(job: Job) -> Iterator[Outcome]:
    """A row per run; one that has not come to the target loss is not measured further."""
    asked, layer, size = job.asked, job.asked["layers"][0], job.asked["train_size"]
    clean = job.split.train(size)
    pairs = nearest_pairs(clean, job.split.test)
    samples = [Samples(*map(torch.from_numpy, part)) for part in (clean, job.split.test)]
    names = weight_names(asked["hidden_layers"], 0)
    training = Training(**{name: asked[name] for name in (*TRAINING, "root_seed")})
    engine_runs = [engine_run(one, size, asked["width"]) for one in job.runs]
    solutions = train(engine_runs, job.split, training, torch.device("cpu"), job.progress)
    for one, solution in zip(job.runs, solutions, strict=True):
        errors = {part: 1 - float(solution.history[f"{part}_accuracy"][-1]) for part in ("train", "test")}
        numbers = {"layer": layer, "steps": solution.steps, "error_gap": errors["test"] - errors["train"]}
        numbers |= {f"{part}_error": error for part, error in errors.items()}
        if solution.stop_reason == "converged":
            weights = dict(zip(names, solution.weights, strict=True))
            numbers |= determinants(weights, layer, clean, job.split.test, pairs=pairs)
            numbers |= tempered_numbers(from_weights(weights), *samples)
        yield Outcome(one, solution.stop_reason, numbers)


if __name__ == "__main__":
    each_run(run, COLUMNS)
