"""Synchronous and decentralised SGD: n learners, each with its own weights w_j and its own part of every batch.

One step, with w̄ the mean over learners and ∇ℓ_j the gradient of learner j's loss on its part of the batch:

    SSGD    w_j ← w̄ − α·mean_j ∇ℓ_j(w̄)
    SSGD*   w_j ← w̄ − α·mean_j ∇ℓ_j(w̄ + ε_j),    ε_j ~ N(0, σ₀² I), drawn anew: noise that does not follow the landscape
    DPSGD   w_j ← Σ_i T_ji w_i − α·∇ℓ_j(w_j)

so the three differ in where gradients are taken and in what they are subtracted from. Definitions: arXiv 2112.01433 and
2002.01119. Along training are recorded the learners' spread σ_w² = mean_j |w_j − w̄|² and the effective rate
α_e = α ḡ·g/|g|², ḡ = mean_j of the gradients of the step and g that of the whole training set at w̄. A step moves w̄
by −α ḡ whatever the algorithm, since mixing does not change w̄.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from awduality.data.splits import Split
from awduality.errors import InputError
from awduality.networks import Shapes
from awduality.runs import Run, Settings
from awduality.streams import stream
from awduality.training.arithmetic import training_arithmetic
from awduality.training.mixing import exchanges, mixed
from awduality.training.population import layers, population
from awduality.training.run import StopReason
from awduality.training.schemes import batch_order, initial_weights

EVALUATIONS = 60
"""How often a run is evaluated, at even distances; the last ten are what its end is judged by."""
LAST = 10
RECORDED = 20
"""How many steps' effective rates are measured at most, evenly spread on a logarithmic axis."""

Samples = tuple[Tensor, Tensor]  # inputs (S, …), labels (S,)

HISTORY = ("step", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "learner_test_accuracy")
"""What is recorded of w̄ at every evaluation; at the last ones also the mean accuracy of single learners."""
COURSE = ("step", "train_loss", "spread", "effective_rate")
"""What is recorded before some steps, more of them at the beginning: of w̄, of the learners, and of the step, over α."""


@dataclass(frozen=True)
class LearnerSolution:
    """What came out of one run."""

    run: Run
    stop_reason: StopReason  # converged: w̄ has reached the target loss at some evaluation
    step: int  # of the solution: the first evaluation at the target loss, else the last
    weights: list[np.ndarray]  # per layer, float32: w̄ at that step
    history: dict[str, np.ndarray]  # HISTORY, each (evaluations,)
    course: dict[str, np.ndarray]  # COURSE, each (recorded steps,)


@dataclass(frozen=True)
class LearnerTraining:
    """What all runs of a study share."""

    shapes: Shapes  # of the weights of one network, by layer
    root_seed: int
    train_size: int
    target_loss: float  # of w̄ on all training samples; the solution is w̄ when it has first reached it


def train_learners(
    runs: Sequence[Run],
    split: Split,
    training: LearnerTraining,
    device: torch.device,
    report: Callable[[int, str], None] = lambda _finished, _message: None,
) -> list[LearnerSolution]:
    """Train runs that differ in their seeds only, as one stack of runs × learners.

    Args:
        runs: of one setting; see ``awduality.learners``.
        split: the data.
        training: what the runs share.
        device: where to compute.
        report: called after every evaluation with the number of evaluations and a line for the reader.

    Returns:
        One solution per run. A run trains for all its steps, whether it reaches the target or not.
    """
    train, test = (_on(device, samples) for samples in (split.train(training.train_size), split.test))
    learners = Learners(runs[0].settings, [run.seed for run in runs], training, device)
    with training_arithmetic():
        followed = _follow(learners, int(runs[0].settings["steps"]), training.target_loss, train, test, report)
    shapes = list(training.shapes.values())
    return [
        LearnerSolution(
            run,
            _ended(history[1], training.target_loss),
            step,
            [layer[0].cpu().numpy().copy() for layer in layers(mean[None], shapes)],
            dict(zip(HISTORY, history, strict=True)),
            dict(zip(COURSE, course, strict=True)),
        )
        for run, (step, mean, history, course) in zip(runs, followed, strict=True)
    ]


def _follow(
    learners: Learners,
    steps: int,
    target_loss: float,
    train: Samples,
    test: Samples,
    report: Callable[[int, str], None],
) -> list[tuple[int, Tensor, np.ndarray, np.ndarray]]:
    """Train, and follow the training: for every run the step of its solution and w̄ there (P,), HISTORY and COURSE."""
    evaluated, recorded = evaluation_steps(steps), recorded_steps(steps)
    history, course = [], []
    solutions: dict[int, tuple[int, Tensor]] = {}
    for step in range(1, steps + 1):
        if step in recorded:
            course.append(_course(learners, step, train))
        else:
            learners.step(*train)
        if step in evaluated:
            history.append(_evaluation(learners, step, train, test, late=step in evaluated[-LAST:]))
            for run, loss in enumerate(history[-1][:, 1].tolist()):
                if run not in solutions and (loss <= target_loss or step == steps):
                    solutions[run] = step, learners.mean[run]
            report(1, f"step {step} of {steps}, training loss {float(history[-1][:, 1].median()):.3g} (median)")
    measured, followed = (torch.stack(found, 2).cpu().numpy().copy() for found in (history, course))
    return [(*solutions[run], measured[run], followed[run]) for run in range(len(measured))]


def _on(device: torch.device, samples: tuple[np.ndarray, np.ndarray]) -> Samples:
    inputs, labels = (torch.from_numpy(array).to(device) for array in samples)
    return inputs, labels


def _evaluation(learners: Learners, step: int, train: Samples, test: Samples, late: bool) -> Tensor:
    """(R, HISTORY) after a step."""
    found = [*learners.evaluate(*train), *learners.evaluate(*test)]
    found.append(learners.single_accuracy(*test) if late else torch.full_like(found[0], torch.nan))
    return torch.stack([torch.full_like(found[0], step), *found], 1)


def _course(learners: Learners, step: int, train: Samples) -> Tensor:
    """Take a step, and measure it: (R, COURSE)."""
    before, spread = learners.mean, learners.spread
    loss, gradient = learners.networks.gradient(before, *train)
    learners.step(*train)
    moved = (before - learners.mean).double()
    rate = (moved * gradient).sum(1) / gradient.square().sum(1) / learners.rate
    return torch.stack([torch.full_like(loss, step), loss, spread, rate], 1)


def _ended(losses: np.ndarray, target: float) -> StopReason:
    if (losses <= target).any():
        return "converged"
    return "budget" if np.isfinite(losses[-1]) else "diverged"


class Learners:
    """The learners of R runs, which differ in their seed only: weights (R, n, P), a row per learner.

    Args:
        settings: of the runs.
        seeds: one per run.
        training: what the runs share.
        device: where to compute.
    """

    def __init__(
        self, settings: Settings, seeds: Sequence[int], training: LearnerTraining, device: torch.device
    ) -> None:
        count, root_seed = int(settings["learners"]), training.root_seed
        self.rate, self._noise = float(settings["learning_rate"]), float(settings["noise"])
        self._decentralised = settings["algorithm"] == "dpsgd"
        self._sizes = shard_sizes(int(settings["total_batch"]), count)
        self._orders = [batches(training.train_size, sum(self._sizes), root_seed, seed) for seed in seeds]
        self._mixings = [exchanges(settings["mixing"], count, root_seed, seed) for seed in seeds]
        self._perturbations = [stream(root_seed, "perturbation", seed) for seed in seeds] if self._noise else []
        initial = torch.stack([initial_row(training, seed) for seed in seeds])
        self.weights = initial[:, None].repeat(1, count, 1).to(device)
        self._clean = self.weights.clone() if self._noise else self.weights
        self.networks = population(training.shapes)
        share = torch.from_numpy(sample_shares(self._sizes, self.rate)).to(device)
        between = self._mix if self._decentralised else self._restore if self._noise else None
        self._take = self.networks.step(self.weights.flatten(0, 1), share.repeat(len(seeds), 1), between)

    @property
    def mean(self) -> Tensor:
        """w̄, (R, P)."""
        return self.weights.mean(1)

    @property
    def spread(self) -> Tensor:
        """σ_w² = mean_j |w_j − w̄|², (R,) float64."""
        return (self.weights - self.mean[:, None]).double().square().sum(2).mean(1)

    def evaluate(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy and accuracy of w̄, each (R,)."""
        return self.networks.evaluate(self.mean, inputs, labels)

    def single_accuracy(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """The accuracy of every learner with its own weights, its mean over learners, (R,)."""
        _, accuracy = self.networks.evaluate(self.weights.flatten(0, 1), inputs, labels)
        return accuracy.view(self.weights.shape[:2]).mean(1)

    def step(self, inputs: Tensor, labels: Tensor) -> None:
        """One step of every learner, on its part of the next total batch of all samples (S, …) and labels (S,)."""
        order = np.concatenate([shares_of(next(orders), self._sizes) for orders in self._orders])
        for place, generator in enumerate(self._perturbations):
            drawn = generator.standard_normal(self.weights.shape[1:], dtype=np.float32)
            self._clean[place] = self.weights[place]
            self.weights[place] += self._noise * torch.from_numpy(drawn).to(self.weights.device)
        self._take(inputs, labels, torch.from_numpy(order).to(inputs.device))
        if not self._decentralised and self.weights.shape[1] > 1:
            self.weights.copy_(self.mean[:, None].expand_as(self.weights))

    def _restore(self) -> None:
        self.weights.copy_(self._clean)

    def _mix(self) -> None:
        self.weights.copy_(mixed(self.weights, [next(mixing) for mixing in self._mixings]))


def initial_row(training: LearnerTraining, seed: int) -> Tensor:
    """The weights that all learners of a run start from, (P,)."""
    drawn = initial_weights(training.shapes.values(), 1.0, training.root_seed, seed)
    return torch.from_numpy(np.concatenate([layer.ravel() for layer in drawn]))


def batches(samples: int, size: int, root_seed: int, seed: int) -> Iterator[np.ndarray]:
    """Total batches, each (size,): consecutive parts of one permutation after the other, without a smaller last one."""
    if size > samples:
        raise InputError(f"a total batch of {size} is larger than the {samples} training samples")
    left = np.empty(0, dtype=np.int64)
    for order in batch_order(samples, root_seed, seed):
        left = np.concatenate([left, order])
        while len(left) >= size:
            yield left[:size]
            left = left[size:]


def shard_sizes(total: int, learners: int) -> list[int]:
    """How many samples of a total batch each learner gets: equal numbers, or one more for the first of them.

    Raises:
        InputError: some learner would get none.
    """
    if learners < 1 or total < learners:
        raise InputError(f"a total batch of {total} cannot be shared by {learners} learners: each needs a sample")
    return [total // learners + (place < total % learners) for place in range(learners)]


def shares_of(positions: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """(n, B) the positions of every learner's part; of a smaller one the last is repeated, and does not count."""
    parts = np.split(positions, np.cumsum(sizes)[:-1])
    return np.stack([np.pad(part, (0, max(sizes) - len(part)), mode="edge") for part in parts])


def sample_shares(sizes: Sequence[int], rate: float) -> np.ndarray:
    """(n, B) float32: the rate over the number of samples of each learner, 0 where ``shares_of`` repeats one."""
    return np.array([[rate / size if b < size else 0.0 for b in range(max(sizes))] for size in sizes], dtype=np.float32)


def evaluation_steps(steps: int) -> list[int]:
    """The steps after which w̄ is evaluated, ascending; the last of all among them."""
    return sorted({-(-steps * place // EVALUATIONS) for place in range(1, EVALUATIONS + 1)})


def recorded_steps(steps: int) -> set[int]:
    """The steps whose effective rate is measured, the first and the last among them."""
    return {int(step) for step in np.geomspace(1, steps, RECORDED).round()}
