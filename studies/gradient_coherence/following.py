"""Training of one stack of networks that differ in their seed and their labels, with a record of its course."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from awduality.runs import Run
from awduality.study.step import Job
from studies.gradient_coherence.coherence import LATE, m_coherence, pristine_part
from studies.gradient_coherence.methods import Update
from studies.gradient_coherence.stack import Weights, accuracy, initial_weights, minibatches, passed
from studies.gradient_coherence.tasks import COHERENCE

_OFTEN = 5  # steps between records where only accuracies are taken


@dataclass
class Followed:
    """One run: what was recorded along it, and its weights where its clean loss was first at the target."""

    ended: str = "budget"
    course: dict[str, list[float]] = field(default_factory=dict)  # name → one number per record
    at_target: list[np.ndarray] | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """The course as arrays (R,)."""
        return {name: np.array(values) for name, values in self.course.items()}


def permuted_labels(labels: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Labels of which a share, picked at random, is permuted among the examples picked (as in the authors' code).

    Larger shares pick more of the same examples. Some of them, about one in ten, get their own label back by chance.
    """
    picked = generator.permutation(len(labels))[: round(share * len(labels))]
    found = labels.copy()
    found[picked] = labels[picked][generator.permutation(len(picked))]
    return found


def follow(job: Job, runs: Sequence[Run]) -> list[Followed]:
    """Train runs that differ in nothing but their seed and the share of permuted labels."""
    settings = runs[0].settings
    size, coherent = settings["train_size"], settings["task"] == COHERENCE
    inputs, true = job.split.train(size)
    stack = _Stack(job, runs, inputs, true)
    found = [Followed() for _ in runs]
    for step in range(settings["steps"] + 1):
        if recorded(step, coherent, job.asked["record_every"]) or step == settings["steps"]:
            stack.record(step, found, coherent)
            if coherent and not stack.stop_learned(found):
                break
        if step < settings["steps"]:
            stack.step()
    for one in found:
        if not np.isfinite(one.course["loss"][-1]):
            one.ended = "diverged"
        elif not coherent:
            one.ended = "converged"
    return found


def recorded(step: int, coherent: bool, every: int) -> bool:
    """Whether a step is recorded: early ones all, where coherence is followed."""
    return (step <= LATE or step % every == 0) if coherent else step % _OFTEN == 0


class _Stack:
    """Networks in training; those that have learned all their labels leave."""

    def __init__(self, job: Job, runs: Sequence[Run], inputs: np.ndarray, true: np.ndarray) -> None:
        settings, split = runs[0].settings, job.split
        self._inputs = inputs
        self._labels = np.stack(
            [permuted_labels(true, run.settings["permuted"], job.stream("labels", run)) for run in runs]
        )
        self._pristine = self._labels == true
        widths = [inputs.shape[1], *[job.asked["width"]] * job.asked["hidden_layers"], split.classes]
        starts = [initial_weights(widths, job.stream("init", run)) for run in runs]
        self._weights: Weights = [np.stack(layer) for layer in zip(*starts, strict=True)]
        self._orders = [minibatches(len(inputs), settings["batch_size"], job.stream("order", run)) for run in runs]
        self._signs = [job.stream("signs", run) for run in runs] if settings["task"] == COHERENCE else []
        self._update = Update(settings["method"], settings["per_cent"])
        self._rate = np.float32(settings["learning_rate"])
        self._places = list(range(len(runs)))  # of these networks among the runs
        self._test, self._target = split.test, job.asked["target_loss"]
        start = settings["train_size"]
        stop = start + job.asked["validation"]
        self._validation = (split.scaling(split.pool_pixels[start:stop]), split.pool_labels[start:stop])

    def step(self) -> None:
        """One update of every network."""
        chosen = [
            np.concatenate([next(self._orders[place]) for _ in range(self._update.minibatches)])
            for place in self._places
        ]
        index = np.stack(chosen)
        seen = passed(self._weights, self._inputs[index], np.take_along_axis(self._labels, index, axis=1))
        for matrix, gradient in zip(self._weights, self._update(seen), strict=True):
            matrix -= self._rate * gradient

    def record(self, step: int, found: Sequence[Followed], coherent: bool) -> None:
        """Add a record to the course of every network."""
        seen = passed(self._weights, self._inputs[None], self._labels, backwards=coherent)
        measured: dict[str, np.ndarray] = {
            "step": np.full(len(self._places), step),
            "loss": seen.losses.mean(axis=1),
            "clean_loss": _mean_where(seen.losses, self._pristine),
            "accuracy": seen.correct.mean(axis=1),
            "clean_accuracy": _mean_where(seen.correct, self._pristine),
            "corrupted_accuracy": _mean_where(seen.correct, ~self._pristine),
            "test_accuracy": accuracy(self._weights, *self._test),
        }
        if coherent:
            signs = np.stack([2.0 * self._signs[place].integers(0, 2, len(self._inputs)) - 1 for place in self._places])
            measured["coherence"] = m_coherence(seen.layers)
            measured["sign_null"] = m_coherence(seen.layers, signs.astype(np.float32))
            measured["pristine_part"] = pristine_part(seen.layers, self._pristine)
        else:
            measured["validation_accuracy"] = accuracy(self._weights, *self._validation)
        for row, place in enumerate(self._places):
            one = found[place]
            for name, values in measured.items():
                one.course.setdefault(name, []).append(float(values[row]))
            if not coherent and one.at_target is None and measured["clean_loss"][row] <= self._target:
                one.at_target = [matrix[row].copy() for matrix in self._weights]

    def stop_learned(self, found: Sequence[Followed]) -> int:
        """Take networks out of the stack that classify every training example as labelled; how many remain."""
        learned = np.array([found[place].course["accuracy"][-1] == 1 for place in self._places])
        kept = np.flatnonzero(~learned)
        if learned.any():
            for row in np.flatnonzero(learned):
                found[self._places[row]].ended = "converged"
            self._places = [self._places[row] for row in kept]
            self._weights = [matrix[kept] for matrix in self._weights]
            self._labels, self._pristine = self._labels[kept], self._pristine[kept]
            self._update.keep(kept)
        return len(kept)


def _mean_where(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(M,) means of (M, N) values over those chosen; NaN where none is."""
    count = chosen.sum(axis=1)
    total = (values * chosen).sum(axis=1, dtype=float)
    return np.asarray(np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0))
