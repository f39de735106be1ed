"""Train runs to a target loss, within a budget of steps, in stacks of equal shape."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from awduality.data.splits import Split
from awduality.runs import Run, Settings
from awduality.training import schemes
from awduality.training.arithmetic import training_arithmetic
from awduality.training.checks import Checks, Front
from awduality.training.convolutional import train_convolutional
from awduality.training.ensemble import Ensemble
from awduality.training.run import History, Solution, StopReason, Training, training_labels
from awduality.training.step import Steps

_COMPACTED = 0.5  # share of a wide stack's runs that still train when the others are taken out


def train(
    runs: Sequence[Run],
    split: Split,
    training: Training,
    device: torch.device,
    report: Callable[[int, str], None] = lambda _finished, _message: None,
    wide: bool | None = None,
) -> list[Solution]:
    """Train all runs; those of one shape and on the same samples as one stack, or one by one if they have convolutions.

    Args:
        runs: what to train.
        split: the data.
        training: shared settings.
        device: where to compute.
        report: called after every epoch with the number of runs that have newly ended and a line for the reader.
        wide: work as suits a GPU, where one wide call costs less than several narrow ones: every run has its own copy
            of its batch, and a stack is compacted when half of its runs have ended, instead of at every end. By
            default so on a GPU. The solutions are the same.

    Returns:
        One solution per run, in the order of ``runs``.
    """
    stacks: dict[tuple, list[Run]] = defaultdict(list)
    for run in runs:
        shape = tuple(run.settings[key] for key in ("batch_size", "train_size", "label_noise", "width"))
        stacks[*shape, run.seed if split.per_seed else None].append(run)  # a stack shares its samples
    stacked = partial(_train_stack, split=split, training=training, device=device, report=report)
    wide = device.type == "cuda" if wide is None else wide
    with training_arithmetic():
        if training.convolutions:
            return [
                train_convolutional(run, split.of_seed(training.root_seed, run.seed), training, device, report)
                for run in runs
            ]
        solutions = {
            solution.run.id: solution
            for stack in stacks.values()
            for solution in stacked(sorted(stack, key=lambda run: run.seed), wide=wide)
        }
    return [solutions[run.id] for run in runs]


@dataclass(frozen=True)
class _StackData:
    """The samples of a stack: clean ones first, then those whose label is wrong."""

    inputs: Tensor  # (S, n)
    targets: Tensor  # (G, C, S) one-hot labels of each stream: wrong labels differ between seeds
    clean_labels: Tensor  # (N,)
    test_inputs: Tensor
    test_labels: Tensor

    @property
    def clean_inputs(self) -> Tensor:
        return self.inputs[: len(self.clean_labels)]


def _stack_data(
    settings: Settings, seeds: Iterable[int], split: Split, root_seed: int, device: torch.device
) -> _StackData:
    labels = torch.from_numpy(np.stack([training_labels(settings, seed, split, root_seed) for seed in seeds]))
    inputs, _ = split.train(labels.shape[1])
    return _StackData(
        inputs=torch.from_numpy(inputs).to(device),
        targets=one_hot(labels, split.classes).float().mT.contiguous().to(device),
        clean_labels=labels[0, : int(settings["train_size"])].to(device),
        test_inputs=torch.from_numpy(split.test_inputs).to(device),
        test_labels=torch.from_numpy(split.test_labels).to(device),
    )


def _initial_ensemble(
    runs: Sequence[Run], streams: list[int], split: Split, training: Training, device: torch.device
) -> Ensemble:
    def column(factor: str) -> Tensor:
        return torch.tensor([run.settings[factor] for run in runs], dtype=torch.float32, device=device).view(-1, 1, 1)

    shapes = training.shapes(runs[0].settings, split).values()  # runs of a stack have one shape
    initial = [
        schemes.initial_weights(shapes, run.settings["init_scale"], training.root_seed, run.seed) for run in runs
    ]
    weights = [torch.from_numpy(np.stack(layer)).to(device) for layer in zip(*initial, strict=True)]
    factors = (column(factor) for factor in ("learning_rate", "dropout", "weight_decay", "l2"))
    return Ensemble(weights, streams, *factors, loss=training.loss)


class _Stack:
    """Runs of one shape that train together; those that have ended are taken out."""

    def __init__(self, runs: Sequence[Run], split: Split, training: Training, device: torch.device, wide: bool) -> None:
        settings = runs[0].settings
        seeds = sorted({run.seed for run in runs})
        self._runs, self._training, self._wide = runs, training, wide
        self._batch = int(settings["batch_size"])
        self._data = _stack_data(settings, seeds, split, training.root_seed, device)
        samples, width = len(self._data.inputs), training.hidden_width(settings)
        self._orders = [schemes.batch_order(samples, training.root_seed, seed) for seed in seeds]
        self._uniforms = [schemes.dropout_uniforms(samples, width, training.root_seed, seed) for seed in seeds]
        self._stacked = list(range(len(runs)))  # rows of ``runs`` in the stack
        self._histories = [History() for _ in runs]
        self._hold(_initial_ensemble(runs, [seeds.index(run.seed) for run in runs], split, training, device))
        self._checks = Checks(training, -(-samples // self._batch))
        self._front = Front(training.target_loss, len(self._data.clean_labels))
        self._step = 0
        self.going = set(self._stacked)  # those that still train

    def _hold(self, ensemble: Ensemble) -> None:
        self._ensemble, self._steps = ensemble, Steps(ensemble, shared=not self._wide)

    def epoch(self, epoch: int) -> list[Solution]:
        """Train one pass over the samples, or until all have ended; the runs that have."""
        data, decaying = self._data, epoch <= self._training.weight_decay_epochs
        order, drawn = self._drawn(self._orders), None
        if self._ensemble.drops:
            drawn = self._drawn(self._uniforms).mT.contiguous()
        solutions: list[Solution] = []
        for index, labels, part in _batches(data, order, drawn, self._batch):
            self._steps.of(index.shape[1], decaying)(data.inputs, index, labels, part)
            self._step += 1
            if self._checks.due(self._step):
                solutions += self._look(epoch)
                if not self.going:
                    break
        return solutions

    def _drawn(self, streams: Sequence[Iterator[np.ndarray]]) -> Tensor:
        return torch.from_numpy(np.stack([next(stream) for stream in streams])).to(self._data.inputs.device)

    def _look(self, epoch: int) -> list[Solution]:
        """Measure the runs as far as need be; those that end here."""
        data, ensemble, step = self._data, self._ensemble, self._step
        here = [(place, row) for place, row in enumerate(self._stacked) if row in self.going]
        writes = self._checks.writes(step)
        if not writes:
            hardest, _ = ensemble.evaluate(*self._front.of(data.clean_inputs, data.clean_labels))
            if self._front.excludes(hardest[[place for place, _ in here]]):
                return []
        by_steps = self._training.check_every is not None
        losses = data.inputs.new_empty(len(ensemble), len(data.clean_labels)) if by_steps else None
        trained = torch.stack(ensemble.evaluate(data.clean_inputs, data.clean_labels, losses), 1).cpu().numpy()
        if losses is not None:
            self._front.renew(losses)
        ends: dict[int, StopReason] = {}
        for place, row in here:
            loss, accuracy = trained[place]
            past = [] if by_steps else self._histories[row].accuracies
            if reason := self._training.stop_reason(loss, [*past, accuracy], step):
                ends[row] = reason
        if not writes and not ends:
            return []
        tested = torch.stack(ensemble.evaluate(data.test_inputs, data.test_labels), 1).cpu().numpy()
        solutions = []
        for place, row in here:
            if writes or row in ends:
                self._histories[row].add(step, [*trained[place], *tested[place]])
            if row in ends:
                weights = [layer[place].cpu().numpy().copy() for layer in ensemble.weights]
                columns = self._histories[row].columns
                solutions.append(Solution(self._runs[row], ends[row], epoch, step, weights, columns))
        self._take_out(set(ends))
        return solutions

    def _take_out(self, ended: set[int]) -> None:
        """Go on without the runs that have ended; a wide stack is compacted when half of its runs have."""
        self.going -= ended
        count = len(self._stacked)
        if self.going and len(self.going) <= (_COMPACTED * count if self._wide else count - 1):
            left = [place for place, row in enumerate(self._stacked) if row in self.going]
            self._stacked = [self._stacked[place] for place in left]
            self._hold(self._ensemble.keep(left))


def _train_stack(
    runs: list[Run],
    split: Split,
    training: Training,
    device: torch.device,
    report: Callable[[int, str], None],
    wide: bool,
) -> list[Solution]:
    stack = _Stack(runs, split.of_seed(training.root_seed, runs[0].seed), training, device, wide)
    solutions: list[Solution] = []
    for epoch in itertools.count(1):
        ended = stack.epoch(epoch)
        solutions += ended
        report(len(ended), f"epoch {epoch}, {len(stack.going)} of {len(runs)} runs of this stack still training")
        if not stack.going:
            break
    return solutions


def _batches(
    data: _StackData, order: Tensor, uniforms: Tensor | None, batch: int
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """The batches of one pass over the samples, in the order of each stream: positions (G, B), targets, uniforms.

    ``order`` is (G, S), ``uniforms`` (G, H, S).
    """
    targets = data.targets.take_along_dim(order[:, None], dim=2)
    drawn = repeat(None) if uniforms is None else uniforms.split(batch, dim=2)
    yield from zip(order.split(batch, dim=1), targets.split(batch, dim=2), drawn, strict=False)
