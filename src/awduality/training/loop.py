"""Train runs to a target loss, within a budget of steps, in stacks of equal shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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

StopReason = Literal["converged", "budget", "diverged"]

HISTORY = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
_ACCURACY_EPOCHS = 9  # the authors' code averages the training accuracy over the last nine epochs
_SAMPLES_AT_ONCE = 256  # samples per stream that are gathered at once: enough to spare calls, few enough for the cache


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
) -> list[Solution]:
    """Train all runs; those of one shape together, as one stack.

    Args:
        runs: what to train.
        split: the data.
        training: shared settings.
        device: where to compute.
        report: called after every epoch with the number of runs that have newly ended and a line for the reader.

    Returns:
        One solution per run, in the order of ``runs``.
    """
    stacks: dict[tuple, list[Run]] = defaultdict(list)
    for run in runs:
        stacks[tuple(run.settings[key] for key in ("batch_size", "train_size", "label_noise", "width"))].append(run)
    torch.set_flush_denormal(True)  # arithmetic on denormal numbers is slow
    try:
        solutions = {
            solution.run.id: solution
            for stack in stacks.values()
            for solution in _train_stack(sorted(stack, key=lambda run: run.seed), split, training, device, report)
        }
    finally:
        torch.set_flush_denormal(False)  # a setting of the whole process: leave it as others expect it
    return [solutions[run.id] for run in runs]


@dataclass(frozen=True)
class _StackData:
    """The samples of a stack: clean ones first, then those whose label is wrong."""

    inputs: Tensor  # (S, n)
    targets: Tensor  # (G, S, C) one-hot labels of each stream: wrong labels differ between seeds
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
        targets=one_hot(torch.from_numpy(np.stack(labels)), split.classes).float().to(device),
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

    alive = list(range(len(runs)))  # rows of ``runs`` that are still in the stack
    ensemble = _initial_ensemble(runs, [seeds.index(run.seed) for run in runs], split, training, device)
    histories: list[list[np.ndarray]] = [[] for _ in runs]
    solutions = []
    epoch = 0
    while alive:
        epoch += 1
        order = torch.from_numpy(np.stack([next(stream) for stream in orders])).to(device)
        drawn = None
        if ensemble.drops:
            drawn = torch.from_numpy(np.stack([next(stream) for stream in uniforms])).to(device)
        _epoch(ensemble, data, order, drawn, batch, decaying=epoch <= training.weight_decay_epochs)

        measured = [
            *ensemble.evaluate(data.clean_inputs, data.clean_labels),
            *ensemble.evaluate(data.test_inputs, data.test_labels),
        ]
        for row, values in zip(alive, torch.stack(measured, 1).cpu().numpy(), strict=True):
            histories[row].append(values)
        reasons = [_stop_reason(histories[row], epoch * steps_per_epoch, training) for row in alive]
        left = [place for place, reason in enumerate(reasons) if reason is None]
        if len(left) < len(alive):
            matrices = [layer.cpu().numpy() for layer in ensemble.weights]
            for place, reason in enumerate(reasons):
                if reason is None:
                    continue
                row = alive[place]
                columns = dict(zip(HISTORY, np.array(histories[row]).T.copy(), strict=True))
                weights = [layer[place].copy() for layer in matrices]
                solutions.append(Solution(runs[row], reason, epoch, epoch * steps_per_epoch, weights, columns))
            alive = [alive[place] for place in left]
            if alive:
                ensemble = ensemble.keep(left)
        ended = len(reasons) - len(left)
        report(ended, f"epoch {epoch}, {len(alive)} of {len(runs)} runs of this stack still training")
    return solutions


def _epoch(
    ensemble: Ensemble, data: _StackData, order: Tensor, uniforms: Tensor | None, batch: int, decaying: bool
) -> None:
    """One pass over the samples, in the order of each stream; ``order`` is (G, S), ``uniforms`` (G, S, H)."""
    streams, samples = order.shape
    stride = batch * max(1, _SAMPLES_AT_ONCE // batch)
    for first in range(0, samples, stride):
        index = order[:, first : first + stride]
        inputs = data.inputs.index_select(0, index.flatten()).view(streams, index.shape[1], -1)
        targets = torch.stack([data.targets[s].index_select(0, index[s]) for s in range(streams)]).transpose(1, 2)
        for start in range(0, index.shape[1], batch):
            part = slice(start, start + batch)
            drawn = None
            if uniforms is not None:
                drawn = uniforms[:, first + start : first + start + batch].transpose(1, 2)
            ensemble.step(inputs[:, part], targets[:, :, part], drawn, decaying)


def _stop_reason(history: list[np.ndarray], steps: int, training: Training) -> StopReason | None:
    loss = history[-1][0]
    accuracy = np.mean([row[1] for row in history[-_ACCURACY_EPOCHS:]])
    if not np.isfinite(loss):
        return "diverged"
    if loss < training.target_loss and accuracy > training.target_accuracy:
        return "converged"
    return "budget" if steps >= training.max_steps else None
