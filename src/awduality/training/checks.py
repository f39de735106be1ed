"""When runs are looked at, and how most looks are decided by a few samples.

By default runs are looked at after every epoch, as in the authors' code. A run of many samples, whose epochs are long,
then overshoots its target: how far, depends on the number of samples. Looked at every so many steps, all runs stop at
the target, whatever their epochs. That would cost an evaluation of all samples each time; but losses are never
negative, so that a few hard samples mostly show that the mean over all cannot have reached the target yet.
"""

from __future__ import annotations

import torch
from torch import Tensor

from awduality.training.run import Training

_FRONT = 400  # samples: one chunk of an evaluation
_SPACING = 1.05  # ratio of the steps at which the history is written: some fifty points per tenfold of steps
_ROUNDING = 1e-6  # relative: the sum of single-precision losses may come out larger by this than the mean says


class Checks:
    """The steps after which runs are looked at, and those after which their history is written.

    Both depend on the number of steps alone, so that a run does not depend on its neighbours.
    """

    def __init__(self, training: Training, steps_per_epoch: int) -> None:
        self._every = training.check_every or steps_per_epoch
        self._by_epoch = training.check_every is None
        self._budget = training.max_steps
        self._written = 0

    def due(self, step: int) -> bool:
        """Whether runs are looked at after this step."""
        return step % self._every == 0

    def writes(self, step: int) -> bool:
        """Whether the history is written after this step, one of those that are due; they come in order."""
        if not self._by_epoch and step < min(_SPACING * self._written, self._budget):
            return False
        self._written = step
        return True


class Front:
    """The samples of largest loss at the last whole evaluation: what they lose bounds the mean over all from below.

    Args:
        target: the loss that the mean over all samples must fall below.
        samples: their number; until all have been evaluated once, the first of them are taken.
    """

    def __init__(self, target: float, samples: int) -> None:
        self._target, self._samples = target, samples
        self.index = torch.arange(min(_FRONT, samples))  # (F,) positions among all samples

    def renew(self, losses: Tensor) -> None:
        """Choose the samples anew, from the losses of all (R, N) of R runs."""
        hardest = losses.amax(0).nan_to_num(posinf=torch.finfo(losses.dtype).max)
        self.index = hardest.topk(len(self.index)).indices

    def of(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The inputs and labels of these samples, among those of all."""
        index = self.index.to(inputs.device)
        return inputs[index], labels[index]

    def excludes(self, mean_losses: Tensor) -> bool:
        """Whether no run can have reached the target; ``mean_losses`` (R,) are means over the samples of the front.

        A loss that is not a number excludes nothing: the run must be looked at.
        """
        bound = self._target * self._samples / len(self.index) * (1 + _ROUNDING)
        return bool((mean_losses > bound).all())
