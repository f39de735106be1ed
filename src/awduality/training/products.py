"""Products of stacks of small matrices: where training spends its time.

On the CPU they are NumPy's. The matrix library of its wheels, OpenBLAS, multiplies small matrices where they lie,
without first copying them into blocks, and so needs about half the time of torch's for one layer and one batch
(``docs/performance.md``); with another library results are as good, only later. NumPy calls it once per matrix of a
stack, so a result does not depend on what else is in the stack. On a GPU they are torch's.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from awduality.training.replay import Call

# Up to these sizes OpenBLAS takes its kernel for small matrices where the right side is transposed.
_SMALL_RESULT = 1_200  # entries
_SMALL_WORK = 1_000_000  # multiply-adds
_FEWEST = 4  # samples at a time; wider layers are better multiplied whole


def product(left: Tensor, right: Tensor, out: Tensor) -> Call:
    """A call that does ``out ← left @ right``, as often as it is made, with whatever the tensors then hold.

    Args:
        left: (…, m, k).
        right: (…, k, n); leading dimensions are broadcast.
        out: (…, m, n).
    """
    if left.is_cuda:
        return partial(torch.matmul, left, right, out=out)
    return partial(np.matmul, left.numpy(), right.numpy(), out.numpy())


def layer_product(weights: Tensor, inputs: Tensor, out: Tensor) -> list[Call]:
    """The same for a layer's weights and its inputs, with so few samples at a time that the products are small.

    Args:
        weights: (R, outputs, inputs).
        inputs: (R or 1, samples, inputs).
        out: (R, outputs, samples).
    """
    samples, (outputs, features) = inputs.shape[1], weights.shape[1:]
    most = min(_SMALL_RESULT // outputs, _SMALL_WORK // (outputs * features))
    if samples <= most or most < _FEWEST or weights.is_cuda:
        return [product(weights, inputs.mT, out)]
    size = -(-samples // -(-samples // most))  # parts as equal as can be
    even = samples - samples % size
    parts = (-1, size)
    x, z = inputs[:, :even].unflatten(1, parts), out[..., :even].unflatten(2, parts)
    calls = [product(weights[:, None], x.mT, z.transpose(1, 2))]
    if even < samples:
        calls.append(product(weights, inputs[:, even:].mT, out[..., even:]))
    return calls
