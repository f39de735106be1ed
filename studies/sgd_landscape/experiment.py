"""What runs: walkers on a ring, walkers under a loss shifted at random, and networks under noise of one kind each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from awduality.duality.determinants import determinants
from awduality.layers import by_layer
from awduality.runs import Run
from awduality.study.step import Job, Outcome, each_run
from studies.sgd_landscape import langevin, shift
from studies.sgd_landscape.network import exponent, initial, passed, traces
from studies.sgd_landscape.training import LOOKED, descended, noisy_gradient, train

BINS = 48
LAYER = "fc2"

COLUMNS = (
    *("slope", "time", "predicted_time", "lost", "critical"),
    *("steps", "cooled", "trace", "trace_all", "exponent", "test_accuracy", "failed"),
    *("gap", "train_loss", "test_loss", "estimate", "top_eigenvalue", "sharpness", "size", "layer_trace"),
    *("top_eigenvalue_balanced", "trace_balanced", "sharpness_balanced", "size_balanced"),
)


def on_the_ring(job: Job, run: Run) -> Outcome:
    """The exponent of the density, and the density itself."""
    asked, settings = job.asked, run.settings
    mean, density = langevin.cosines(
        settings["kappa"],
        asked["noise_across"],
        settings["noise"] == "both",
        asked["ring_walkers"],
        asked["ring_steps"],
        asked["time_step"],
        job.stream("noise", run),
        BINS,
    )
    return Outcome(run, numbers={"slope": langevin.slope_of(mean)}, arrays={"density": density})


def shifted(job: Job, run: Run) -> Outcome:
    """The time to flat places beside the predicted one, or the share of the walkers that were lost."""
    asked, rate, strength = job.asked, run.settings["learning_rate"], run.settings["strength"]
    generator, critical = job.stream("noise", run), shift.bound(rate)
    if run.settings["noise"] == "lost":
        lost = shift.share_lost(rate, strength * critical, asked["walkers"], asked["lost_steps"], generator)
        return Outcome(run, numbers={"lost": lost, "critical": critical})
    time = shift.time_to_flat(rate, strength, asked["walkers"], asked["most_steps"], generator)
    numbers: dict[str, Any] = {"predicted_time": shift.predicted_time(rate, strength), "critical": critical}
    if time is None:
        return Outcome(run, "budget", numbers)
    return Outcome(run, numbers={**numbers, "time": time})


def network(job: Job, run: Run) -> Outcome:
    """What a network came to under one kind of noise."""
    asked, settings = job.asked, run.settings
    x, labels = job.split.train(asked["train_size"])
    samples = (x.astype(np.float64), labels)
    weights = initial([x.shape[1], *asked["hidden"], job.split.classes], job.stream("init", run))
    generator = job.stream("noise", run)

    def gradient(at: list[np.ndarray]) -> list[np.ndarray]:
        return noisy_gradient(settings["noise"], at, *samples, settings["batch_size"], generator)

    if settings["ends"] == "bound":
        return _bounded(job, run, weights, samples, gradient)
    targets = (asked["noisy_loss"], asked["target_loss"])
    found = train(weights, samples, gradient, settings["learning_rate"], targets, asked["budget"])
    numbers: dict[str, Any] = {"steps": found.steps, "cooled": found.cooled}
    if found.ended == "converged":
        numbers |= _measured(job, found.weights, samples)
    course = {f"course/{name}": np.array(values) for name, values in found.course.items()}
    return Outcome(run, found.ended, numbers, course)


def _bounded(job: Job, run: Run, weights: Any, samples: Any, gradient: Any) -> Outcome:
    """Whether the loss ever came below the bound, and if so how flat it was there."""
    for step in range(job.asked["bound_steps"] + 1):
        if step % LOOKED == 0:
            one = passed(weights, *samples)
            loss = float(one.losses.mean())
            if not np.isfinite(loss):
                return Outcome(run, "diverged", {"failed": 1, "steps": step})
            if loss <= job.asked["bound_loss"]:
                return Outcome(run, numbers={"failed": 0, "steps": step, "trace": traces(weights, one)[0]})
        weights = descended(weights, run.settings["learning_rate"], gradient(weights))
    return Outcome(run, "budget", {"failed": 1, "steps": job.asked["bound_steps"]})


def _measured(job: Job, weights: list[np.ndarray], samples: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """Traces, the exponent of the noise, test accuracy, and the determinants of the second layer."""
    one = passed(weights, *samples)
    of_layer, of_all = traces(weights, one)
    inputs, targets = job.split.test
    tested = passed(weights, inputs.astype(np.float64), targets)
    found = determinants(by_layer(weights), LAYER, samples, (inputs.astype(np.float64), targets))
    found["layer_trace"] = found.pop("trace")
    return {
        "trace": of_layer,
        "trace_all": of_all,
        "exponent": exponent(weights, one),
        "test_accuracy": float((tested.probabilities.argmax(1) == targets).mean()),
        **found,
    }


_WORK = {"langevin": on_the_ring, "shift": shifted, "net": network}


def run(job: Job) -> Iterator[Outcome]:
    """A row per run; of walkers on the ring their density, of networks their course."""
    for one in job.runs:
        yield _WORK[one.settings["model"]](job, one)
        job.progress(1)


if __name__ == "__main__":
    each_run(run, COLUMNS)
