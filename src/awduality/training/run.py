"""What every way of training shares: when a run ends, what comes out of it, and the labels that it sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from awduality.data.counts import noisy_count
from awduality.data.label_noise import wrong_labels
from awduality.data.splits import Split
from awduality.networks import weight_shapes
from awduality.runs import Run, Settings

StopReason = Literal["converged", "budget", "diverged"]

MEASURES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
HISTORY = ("step", *MEASURES)
_ACCURACY_EPOCHS = 9  # the authors' code averages the training accuracy over the last nine epochs


def why_ended(loss: float, reached: bool, steps: int, max_steps: int) -> StopReason | None:
    """Why a run ends here, or nothing if it goes on.

    Args:
        loss: the last one that is known.
        reached: whether the run is where it was to come.
        steps: done so far.
        max_steps: the budget.
    """
    if not np.isfinite(loss):
        return "diverged"
    if reached:
        return "converged"
    return "budget" if steps >= max_steps else None


@dataclass(frozen=True)
class Training:
    """When a run ends, and what all runs share."""

    hidden_layers: int
    root_seed: int
    target_loss: float
    target_accuracy: float
    max_steps: int
    weight_decay_epochs: int
    first_width: int | None = None
    convolutions: Sequence[int] = ()
    loss: str = "cross_entropy"  # or mse: see awduality.losses
    check_every: int | None = None  # steps after which a run may end; by default it may after every epoch

    def hidden_width(self, settings: Settings) -> int:
        """The units of the first fully connected hidden layer, on which dropout acts."""
        return self.first_width or int(settings["width"])

    def shapes(self, settings: Settings, split: Split) -> dict[str, tuple[int, ...]]:
        """The shapes of a run's weights, by name."""
        return weight_shapes(
            split.features,
            split.classes,
            int(settings["width"]),
            self.hidden_layers,
            self.first_width,
            self.convolutions,
        )

    def stop_reason(self, loss: float, accuracies: Sequence[float], steps: int) -> StopReason | None:
        """Why a run ends here, or nothing if it goes on.

        Args:
            loss: on the clean training samples.
            accuracies: there, after every epoch; where runs may end after any number of steps, the last alone.
            steps: done so far.
        """
        reached = loss < self.target_loss and np.mean(accuracies[-_ACCURACY_EPOCHS:]) > self.target_accuracy
        return why_ended(loss, bool(reached), steps, self.max_steps)


@dataclass(frozen=True)
class Solution:
    """What came out of a run."""

    run: Run
    stop_reason: StopReason
    epochs: int  # begun
    steps: int
    weights: list[np.ndarray]  # per layer, float32; (outputs, inputs) where it is fully connected
    history: dict[str, np.ndarray]  # ``HISTORY``, each (T,) float64, of clean training and test samples


class History:
    """What is measured of a run while it trains."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, ...]] = []

    def add(self, step: int, measured: Sequence[float]) -> None:
        """Write what was measured after a step, in the order of ``MEASURES``."""
        self._rows.append((step, *measured))

    @property
    def accuracies(self) -> list[float]:
        """Those on the training samples."""
        return [row[HISTORY.index("train_accuracy")] for row in self._rows]

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Each of ``HISTORY``, (T,) float64."""
        return dict(zip(HISTORY, np.array(self._rows, dtype=np.float64).T.copy(), strict=True))


def training_labels(settings: Settings, seed: int, split: Split, root_seed: int) -> np.ndarray:
    """The labels (S,) that a run sees of the first S samples of the pool: its clean ones, then wrong ones."""
    clean = int(settings["train_size"])
    true = split.pool_labels[: clean + noisy_count(clean, settings["label_noise"])]
    return np.concatenate([true[:clean], wrong_labels(true[clean:], split.classes, root_seed, seed)])
