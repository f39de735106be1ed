"""Train runs to a target loss, within a budget of steps, in stacks of equal shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
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
from awduality.training.convolutional import train_convolutional
from awduality.training.ensemble import Ensemble
from awduality.training.run import HISTORY, Solution, Training, training_labels
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
    """Train all runs; those of one shape together, as one stack, or one by one if they have convolutions.

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
        if training.convolutions:
            return [train_convolutional(run, split, training, device, report) for run in runs]
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
    width = training.hidden_width(settings)
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
            reason = training.stop_reason(histories[row], epoch * steps_per_epoch)
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
