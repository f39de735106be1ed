"""Train runs to a target loss, within a budget of steps, in stacks of equal shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from awduality.data.label_noise import noisy_count, wrong_labels
from awduality.data.splits import Split
from awduality.plan import Run, Settings
from awduality.training import schemes
from awduality.training.ensemble import Ensemble
from awduality.training.step import Steps

StopReason = Literal["converged", "budget", "diverged"]

HISTORY = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
_COMPACTED = 0.5  # share of a wide stack's runs that still train when the others are taken out
_ACCURACY_EPOCHS = 9  # the authors' code averages the training accuracy over the last nine epochs


@dataclass(frozen=True)
class Training:
    """When a run ends, and what all runs share."""

    hidden_layers: int
    root_seed: int
    target_loss: float
    target_accuracy: float
    max_steps: int
    weight_decay_epochs: int


@dataclass(frozen=True)
class Solution:
    """What came out of a run."""

    run: Run
    stop_reason: StopReason
    epochs: int
    steps: int
    weights: list[np.ndarray]  # per layer (outputs, inputs) float32
    history: dict[str, np.ndarray]  # each (epochs,) float64, after every epoch, on clean training and test samples


def train(
    runs: Sequence[Run],
    split: Split,
    training: Training,
    device: torch.device,
    report: Callable[[int, str], None] = lambda _finished, _message: None,
    wide: bool | None = None,
) -> list[Solution]:
    """Train all runs; those of one shape together, as one stack.

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
        stacks[tuple(run.settings[key] for key in ("batch_size", "train_size", "label_noise", "width"))].append(run)
    stacked = partial(_train_stack, split=split, training=training, device=device, report=report)
    wide = device.type == "cuda" if wide is None else wide
    torch.set_flush_denormal(True)  # arithmetic on denormal numbers is slow
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # a run may diverge
            solutions = {
                solution.run.id: solution
                for stack in stacks.values()
                for solution in stacked(sorted(stack, key=lambda run: run.seed), wide=wide)
            }
    finally:
        torch.set_flush_denormal(False)  # a setting of the whole process: leave it as others expect it
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
    clean = int(settings["train_size"])
    total = clean + noisy_count(clean, settings["label_noise"])
    true = split.pool_labels[:total]
    labels = [
        np.concatenate([true[:clean], wrong_labels(true[clean:], split.classes, root_seed, seed)]) for seed in seeds
    ]
    return _StackData(
        inputs=torch.from_numpy(split.pool_inputs[:total]).to(device),
        targets=one_hot(torch.from_numpy(np.stack(labels)), split.classes).float().mT.contiguous().to(device),
        clean_labels=torch.from_numpy(true[:clean]).to(device),
        test_inputs=torch.from_numpy(split.test_inputs).to(device),
        test_labels=torch.from_numpy(split.test_labels).to(device),
    )


def _initial_ensemble(
    runs: Sequence[Run], streams: list[int], split: Split, training: Training, device: torch.device
) -> Ensemble:
    def column(factor: str) -> Tensor:
        return torch.tensor([run.settings[factor] for run in runs], dtype=torch.float32, device=device).view(-1, 1, 1)

    hidden = [int(runs[0].settings["width"])] * training.hidden_layers  # runs of a stack have one shape
    widths = [split.pool_inputs.shape[1], *hidden, split.classes]
    initial = [
        schemes.initial_weights(widths, run.settings["init_scale"], training.root_seed, run.seed) for run in runs
    ]
    weights = [torch.from_numpy(np.stack(layer)).to(device) for layer in zip(*initial, strict=True)]
    return Ensemble(weights, streams, column("learning_rate"), column("dropout"), column("weight_decay"), column("l2"))


def _train_stack(
    runs: list[Run],
    split: Split,
    training: Training,
    device: torch.device,
    report: Callable[[int, str], None],
    wide: bool,
) -> list[Solution]:
    settings = runs[0].settings
    batch = int(settings["batch_size"])
    seeds = sorted({run.seed for run in runs})
    data = _stack_data(settings, seeds, split, training.root_seed, device)
    samples = len(data.inputs)
    steps_per_epoch = -(-samples // batch)
    orders = [schemes.batch_order(samples, training.root_seed, seed) for seed in seeds]
    width = int(settings["width"])
    uniforms = [schemes.dropout_uniforms(samples, width, training.root_seed, seed) for seed in seeds]

    stacked = list(range(len(runs)))  # rows of ``runs`` in the stack
    going = set(stacked)  # those that still train
    ensemble = _initial_ensemble(runs, [seeds.index(run.seed) for run in runs], split, training, device)
    steps = Steps(ensemble, shared=not wide)
    histories: list[list[np.ndarray]] = [[] for _ in runs]
    solutions = []
    epoch = 0
    while going:
        epoch += 1
        order = torch.from_numpy(np.stack([next(stream) for stream in orders])).to(device)
        drawn = None
        if ensemble.drops:
            drawn = torch.from_numpy(np.stack([next(stream) for stream in uniforms])).to(device).mT.contiguous()
        _epoch(steps, data, order, drawn, batch, decaying=epoch <= training.weight_decay_epochs)

        measured = [
            *ensemble.evaluate(data.clean_inputs, data.clean_labels),
            *ensemble.evaluate(data.test_inputs, data.test_labels),
        ]
        ended = 0
        for place, (row, values) in enumerate(zip(stacked, torch.stack(measured, 1).cpu().numpy(), strict=True)):
            if row not in going:
                continue
            histories[row].append(values)
            reason = _stop_reason(histories[row], epoch * steps_per_epoch, training)
            if reason is not None:
                going.remove(row)
                ended += 1
                columns = dict(zip(HISTORY, np.array(histories[row]).T.copy(), strict=True))
                weights = [layer[place].cpu().numpy().copy() for layer in ensemble.weights]
                solutions.append(Solution(runs[row], reason, epoch, epoch * steps_per_epoch, weights, columns))
        if going and len(going) <= (_COMPACTED * len(stacked) if wide else len(stacked) - 1):
            left = [place for place, row in enumerate(stacked) if row in going]
            stacked = [stacked[place] for place in left]
            ensemble = ensemble.keep(left)
            steps = Steps(ensemble, shared=not wide)
        report(ended, f"epoch {epoch}, {len(going)} of {len(runs)} runs of this stack still training")
    return solutions


def _epoch(steps: Steps, data: _StackData, order: Tensor, uniforms: Tensor | None, batch: int, decaying: bool) -> None:
    """One pass over the samples, in the order of each stream; ``order`` is (G, S), ``uniforms`` (G, H, S)."""
    targets = data.targets.take_along_dim(order[:, None], dim=2)
    drawn = repeat(None) if uniforms is None else uniforms.split(batch, dim=2)
    for index, labels, part in zip(order.split(batch, dim=1), targets.split(batch, dim=2), drawn, strict=False):
        steps.of(index.shape[1], decaying)(data.inputs, index, labels, part)


def _stop_reason(history: list[np.ndarray], steps: int, training: Training) -> StopReason | None:
    loss = history[-1][0]
    accuracy = np.mean([row[1] for row in history[-_ACCURACY_EPOCHS:]])
    if not np.isfinite(loss):
        return "diverged"
    if loss < training.target_loss and accuracy > training.target_accuracy:
        return "converged"
    return "budget" if steps >= training.max_steps else None
