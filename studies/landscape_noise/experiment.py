"""What runs: all arms of a seed and a rate side by side; each is measured where it reaches the target loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from awduality.duality.determinants import MEASURES, determinants
from awduality.duality.pairing import Pairs, nearest_pairs
from awduality.networks import weight_shapes
from awduality.runs import Run
from awduality.study.step import Job, Outcome, each_run
from awduality.training.arithmetic import training_arithmetic
from awduality.training.multilearner import LearnerTraining, batches
from awduality.training.population import arrays_of, population
from studies.landscape_noise.arms import AVERAGED, SSGD, STAR, Arm, Arms, Common, started
from studies.landscape_noise.diversity import looked, network_loss
from studies.landscape_noise.training import COURSE, Ends, Followed, follow

COLUMNS = ("step", "loss", "train_error", "test_error", *MEASURES)
LOOKED = (
    "step",
    "strength",
    "gradient",
    "own",
    "common",
    "effective",
    "quadratic_error",
    "own_cosine",
    "common_cosine",
)


class Looks:
    """Measures the gradient-diversity term of the arms whose learners are apart, before some steps."""

    def __init__(self, steps: list[int], samples: tuple[torch.Tensor, torch.Tensor]) -> None:
        self._steps, (self._inputs, self._labels) = set(steps), samples
        self.rows: dict[Arm, list[list[float]]] = {}

    def __call__(self, arms: Arms, step: int, batch: np.ndarray) -> None:
        """Look at all arms before a step on this batch, in float64."""
        if step not in self._steps:
            return
        shapes, sizes = list(arms.common.training.shapes.values()), arms.common.sizes
        losses = [
            network_loss(shapes, self._inputs[part].double(), self._labels[part])
            for part in (torch.from_numpy(batch), *map(torch.from_numpy, np.split(batch, np.cumsum(sizes)[:-1])))
        ]
        for arm, places in zip(arms.arms, arms.places, strict=True):
            if arm.algorithm not in (SSGD, STAR):
                found = looked(losses[0], losses[1:], places.double())
                self.rows.setdefault(arm, []).append([step, *(found[name] for name in LOOKED[1:])])


def run(job: Job) -> Iterator[Outcome]:
    """A row per run; its course, and what was looked at on the way."""
    asked, split = job.asked, job.split
    shapes = weight_shapes(split.features, split.classes, width=asked["width"], **asked["network"])
    training = LearnerTraining(shapes, asked["root_seed"], asked["train_size"], asked["target_loss"])
    ends = Ends(asked["target_loss"], asked["steps"], asked["check_every"])
    train = split.train(asked["train_size"])
    pairs = nearest_pairs(train, split.test)
    inputs, labels = map(torch.from_numpy, train)
    for place in dict.fromkeys((run.seed, run.settings["learning_rate"]) for run in job.runs):
        seed, rate = place
        runs = {arm_of(one): one for one in job.runs if (one.seed, one.settings["learning_rate"]) == place}
        common = Common(training, asked["learners"], asked["total_batch"], rate, asked["average"])
        first = next(iter(runs.values()))
        arms = started(list(runs), common, seed, job.stream("noise", first), job.stream("turns", first))
        looks = Looks(asked["looks"], (inputs, labels))
        orders = batches(asked["train_size"], asked["total_batch"], asked["root_seed"], seed)
        with training_arithmetic():
            found = follow(list(runs), arms, (inputs, labels), ends, orders, looks)
        for arm, one in runs.items():
            yield outcome(job, one, found[arm], looks.rows.get(arm, []), training, pairs)
            job.progress(1)


def arm_of(run: Run) -> Arm:
    """The arm that a run is."""
    return Arm(run.settings["algorithm"], run.settings["noise"])


def outcome(
    job: Job, run: Run, found: Followed, looks: list[list[float]], training: LearnerTraining, pairs: Pairs
) -> Outcome:
    """The row and the arrays of a run; sharpness and size are those of solutions at the target loss."""
    assert found.ended is not None
    assert found.weights is not None
    train, test = job.split.train(training.train_size), job.split.test
    numbers: dict[str, Any] = {"step": found.step, "loss": found.course[-1][1]}
    if found.ended != "diverged":
        networks = population(training.shapes)
        for name, (inputs, labels) in {"train_error": train, "test_error": test}.items():
            _, accuracy = networks.evaluate(found.weights[None], torch.from_numpy(inputs), torch.from_numpy(labels))
            numbers[name] = 1 - float(accuracy)
    if found.ended == "converged":
        (layer,) = job.asked["layers"]
        weights = arrays_of(found.weights, training.shapes)
        numbers |= determinants(weights, layer, train, test, job.asked["directions"], pairs)
    apart = [row for row in looks if row[0] <= found.step and run.settings["algorithm"] != AVERAGED]
    arrays = {**by_column("course", COURSE, found.course), **by_column("looks", LOOKED, apart)}
    return Outcome(run, found.ended, numbers, arrays)


def by_column(part: str, names: Sequence[str], rows: Sequence[Sequence[float]]) -> dict[str, np.ndarray]:
    """``<part>/<name>`` → what the rows have in that place."""
    return {f"{part}/{name}": np.array([row[place] for row in rows]) for place, name in enumerate(names)}


if __name__ == "__main__":
    each_run(run, COLUMNS)
