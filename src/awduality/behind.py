"""What lies behind a layer, as a network of its own: from the layer's output to the network's.

Told apart by tracing the network's computation symbolically (``torch.fx``). It is what makes the last layer of a deep
network cheap to analyse: losses and curvature at the layer's output need no pass through the layers before it.

A trace can differ from the network: it goes through a ``torch.autograd.Function`` and loses the derivative that this
defines, it forgets ``torch.no_grad``, and tests on types or on arguments that are missing come out otherwise. So the
two are compared before the trace is used: by losses, gradient, a product of the Hessian, and the operations recorded.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, fx, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

_SAME = 1e-9  # by how much two ways to the same numbers may differ in float64

OfOutput = Callable[[Tensor], Tensor]
"""The layer's output (N, m) → losses (N,)."""


def behind(model: nn.Module, layer: str) -> nn.Module | None:
    """The part of a network that follows a layer, sharing its modules.

    Args:
        model: any network.
        layer: dotted name of one of its modules.

    Returns:
        A module that takes the layer's output; or nothing, where the network cannot be traced (its control flow depends
        on data, say), calls the layer more or less than once, or takes another path from its inputs past the layer.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what backward hooks say to symbols
            return _traced(model, layer)
    except Exception as error:  # a user's code runs under the trace: anything can be raised
        logging.getLogger(__name__).debug("the network cannot be traced: %s", error)
        return None


def _traced(model: nn.Module, layer: str) -> nn.Module | None:
    traced = fx.symbolic_trace(model)
    graph = traced.graph
    calls = [node for node in graph.nodes if node.op == "call_module" and node.target == layer]
    if len(calls) != 1:
        return None
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    with graph.inserting_before(next(iter(graph.nodes))):
        output = graph.placeholder("layer_output")
    calls[0].replace_all_uses_with(output)
    graph.erase_node(calls[0])
    # What depends on the layer stays, used or not: it may change an activity in place. So does what that needs.
    kept = {output}
    for node in graph.nodes:
        if any(source in kept for source in node.all_input_nodes):
            kept.add(node)
    for node in reversed(graph.nodes):
        if node in kept:
            kept.update(node.all_input_nodes)
    if any(node in kept for node in inputs):
        return None
    for node in reversed(graph.nodes):
        if node not in kept:
            graph.erase_node(node)
    traced.recompile()
    return traced


def agree(one: OfOutput, other: OfOutput, output: Tensor) -> bool:
    """Whether two ways from a layer's output to the losses are one function, derivatives included.

    Both must record the same operations for autograd; what differs for some samples only is noticed thereby.
    """
    first, second = (_derivatives(function, output) for function in (one, other))
    if first is None or second is None:
        return first is second
    return first[0] == second[0] and all(same(a, b) for a, b in zip(first[1], second[1], strict=True))


def same(one: Tensor, other: Tensor, tolerance: float = _SAME) -> bool:
    """Equal up to rounding, relative to the largest."""
    if one.shape != other.shape:
        return False
    scale = other.abs().nan_to_num(0.0, 0.0, 0.0).max()
    return torch.allclose(one, other, rtol=tolerance, atol=tolerance * float(scale), equal_nan=True)


def _derivatives(function: OfOutput, output: Tensor) -> tuple[Counter[str], list[Tensor]] | None:
    """The operations recorded, and losses, gradient, and Hessian times a vector; nothing if they cannot be had."""
    along = torch.cos(torch.arange(output.numel()).to(output)).view_as(output)
    with torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        place = output.detach().clone().requires_grad_(True)
        losses = function(place)
        if not losses.requires_grad:
            return Counter(), [losses]
        operations = _operations(losses)
        try:
            (gradient,) = torch.autograd.grad(losses.sum(), place, create_graph=True, materialize_grads=True)
            product = torch.zeros_like(place)
            if gradient.requires_grad:
                (product,) = torch.autograd.grad(gradient, place, along, materialize_grads=True)
        except Exception as error:  # of a user's function: anything can be raised
            logging.getLogger(__name__).debug("the losses cannot be differentiated twice: %s", error)
            return None
    return operations, [losses.detach(), gradient.detach(), product]


def _operations(losses: Tensor) -> Counter[str]:
    """How often each operation was recorded on the way to the losses."""
    found: Counter[str] = Counter()
    seen, left = set(), [losses.grad_fn]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        found[node.name()] += 1
        left += [following for following, _ in node.next_functions]
    return found
