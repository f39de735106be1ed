"""What lies behind a layer, as a network of its own: from the layer's output to the network's.

Told apart by tracing the network's computation symbolically (``torch.fx``). It is what makes the last layer of a deep
network cheap to analyse: losses and curvature at the layer's output need no pass through the layers before it.
"""

from __future__ import annotations

import logging

from torch import fx, nn


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
        traced = fx.symbolic_trace(model)
    except Exception as error:  # a user's code runs under the trace: anything can be raised
        logging.getLogger(__name__).debug("the network cannot be traced: %s", error)
        return None
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
