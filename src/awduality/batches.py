"""How many samples a network sees at once, so that its activities take bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, fx, nn

from awduality.nested import Nested, rows

SOME = 128  # samples at once where activities are larger than inputs: convolutions, attention, a user's own code

_BYTES = 2**30  # of the widest activity of a network of linear layers
_OF_A_VECTOR = (nn.Linear, nn.BatchNorm1d, nn.LayerNorm, nn.Identity, nn.Dropout, nn.Flatten, nn.Unflatten)


def at_once(network: nn.Module | None, some: int) -> int:
    """The number of samples at once: ``some``, but for plain networks, where only a width bounds it.

    Args:
        network: a network, or what lies behind one of its layers (``awduality.behind``); nothing, if that is unknown.
        some: the number for networks that are not plain.
    """
    if isinstance(network, fx.GraphModule):
        nodes = [node for node in network.graph.nodes if node.op not in ("placeholder", "output")]
        if any(node.op != "call_module" for node in nodes):
            return some
        modules = [network.get_submodule(node.target) for node in nodes]
    elif network is not None and all(
        type(module) is nn.Sequential for module in network.modules() if any(module.children())
    ):
        modules = [module for module in network.modules() if not any(module.children())]
    else:
        return some
    if not all(_is_of_a_vector(module) for module in modules):
        return some
    widest = max((module.out_features for module in modules if isinstance(module, nn.Linear)), default=1)
    return max(some, _BYTES // (8 * widest))


def _is_of_a_vector(module: nn.Module) -> bool:
    place = type(module).__module__
    activation = place == nn.ReLU.__module__ and not isinstance(module, nn.MultiheadAttention)
    return type(module) in _OF_A_VECTOR or activation


def parts(step: int, inputs: Nested, *others: Tensor) -> Iterator[tuple[Any, ...]]:
    """Consecutive samples, so many at a time, of the inputs and of other tensors that have a row for each."""
    count = len(others[0])
    for first in range(0, count, step):
        which = slice(first, first + step)
        yield rows(inputs, which, count), *(tensor[which] for tensor in others)
