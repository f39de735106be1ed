"""What runs: networks with everything that may predict their gap, and networks from neighbouring samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from awduality.duality.pairing import Pairs, nearest_pairs
from awduality.layers import by_layer
from awduality.measures.capacity import outputs
from awduality.runs import Run
from awduality.study.step import Job, Outcome, each_run
from awduality.training.run import Solution
from studies.generalization_measures.arms import MEASURES, STABILITY
from studies.generalization_measures.numbers import (
    CAPACITY,
    DUALITY,
    capacity_numbers,
    duality_numbers,
    nearest_others,
)
from studies.generalization_measures.training import agreements, initial, trained

COLUMNS = (
    *("steps", "train_loss", "test_loss", "train_error", "test_error"),
    "gap",  # mean test loss − mean training loss, nats
    "error_gap",  # test error − training error
    *CAPACITY,  # see candidates.capacity_numbers
    *DUALITY,  # see candidates.duality_numbers
    *(f"{name}_balanced" for name in DUALITY),
    *("size_own", "quadratic_own"),  # with pairs of training samples
    "noise",  # a random number
    *("agreement", "agreement_restart"),  # see training.agreements
)
_BITS = 48  # of a run's id


def random_number(one: Run, generator: np.random.Generator) -> float:
    """A standard normal number of a run, though runs of one seed share the generator: by signs from the run's id."""
    signs = [1 - 2 * (int(one.id, 16) >> bit & 1) for bit in range(_BITS)]
    return float(generator.standard_normal(_BITS) @ np.array(signs) / _BITS**0.5)


class Measuring:
    """Measures solutions; samples and pairs are prepared once per seed and training size."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._pairs: dict[tuple[int, int], tuple[Pairs, Pairs]] = {}

    def pairs(self, seed: int, size: int) -> tuple[Pairs, Pairs]:
        """Of test with training samples, and of training samples with each other."""
        if (seed, size) not in self._pairs:
            train, test = self.samples(seed, size)
            self._pairs = {(seed, size): (nearest_pairs(train, test), nearest_others(train))}
        return self._pairs[seed, size]

    def samples(self, seed: int, size: int) -> tuple[Any, Any]:
        """The training samples, and the test samples that are paired."""
        asked, split = self._job.asked, self._job.split
        inputs, labels = split.test
        train = split.of_seed(asked["root_seed"], seed).train(size)
        return train, (inputs[: asked["paired"]], labels[: asked["paired"]])

    def outcome(self, one: Run, solution: Solution) -> Outcome:
        """A row, and on which test samples the network errs; of one that did not converge its end alone."""
        job, last = self._job, {name: float(values[-1]) for name, values in solution.history.items()}
        numbers = {"steps": solution.steps, "train_loss": last["train_loss"], "test_loss": last["test_loss"]}
        if solution.stop_reason != "converged":
            return Outcome(one, solution.stop_reason, numbers)
        weights = by_layer(solution.weights)
        train, test = self.samples(one.seed, one.settings["train_size"])
        inputs, labels = job.split.test
        wrong = outputs(weights, inputs).argmax(1) != labels
        train_error = float((outputs(weights, train[0]).argmax(1) != train[1]).mean())
        numbers |= {"train_error": train_error, "test_error": float(wrong.mean())}
        numbers |= {"gap": last["test_loss"] - last["train_loss"], "error_gap": numbers["test_error"] - train_error}
        noise, start = job.stream("noise", one), initial(one, job.split, job.asked)
        numbers["noise"] = random_number(one, noise)
        numbers |= capacity_numbers(weights, start, train, noise, job.asked["noise_samples"])
        numbers |= duality_numbers(weights, train, test, *self.pairs(one.seed, one.settings["train_size"]))
        return Outcome(one, solution.stop_reason, numbers, {"wrong": wrong.astype(np.uint8)})


def on_measures(job: Job, runs: Sequence[Run]) -> Iterator[Outcome]:
    """Networks to one training loss, seed by seed, so that pairs are made once."""
    measuring = Measuring(job)
    solutions = trained(runs, job.split, job.asked, lambda _ended, message: job.progress(0, message))
    by_seed = sorted(zip(runs, solutions, strict=True), key=lambda both: (both[0].settings["train_size"], both[0].seed))
    for one, solution in by_seed:
        yield measuring.outcome(one, solution)
        job.progress(1)


def run(job: Job) -> Iterator[Outcome]:
    """A row per run."""
    yield from on_measures(job, [one for one in job.runs if one.settings["arm"] == MEASURES])
    for one in job.runs:
        if one.settings["arm"] == STABILITY:
            yield Outcome(one, *agreements(one, job.split, job.asked, job.stream("labels", one)))
            job.progress(1)


if __name__ == "__main__":
    each_run(run, COLUMNS)
