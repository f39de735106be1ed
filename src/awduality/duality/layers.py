"""Every fully connected layer of one network in one call."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import nn

from awduality.arguments import shown, whole_number
from awduality.criteria import as_loss
from awduality.duality.decomposition import decompose
from awduality.duality.result import Decomposition
from awduality.duality.rules import Chosen, check_pairs, pairs_of_inputs
from awduality.errors import InputError
from awduality.losses import PerSampleLoss
from awduality.opening import Output
from awduality.samples import Brought, gathered
from awduality.suitable import check_module, linear_layers

log = logging.getLogger(__name__)


def decompose_layers(
    model: nn.Module,
    train: Brought,
    test: Brought,
    layers: Sequence[str] | None = None,
    loss: str | PerSampleLoss | nn.Module = "cross_entropy",
    pairs: Chosen = None,
    top: int | None = None,
    *,
    output: Output = None,
    tolerance: float = 0.0,
) -> dict[str, Decomposition]:
    """Split a network's generalization gap over the directions of each of its layers; the samples are paired once.

    Args:
        model: any network in eval mode; the work is done on a float64 copy.
        train: training inputs (N, …) and targets (N, …), as in ``decompose``; read once.
        test: test inputs (T, …) and targets (T, …).
        layers: dotted names of ``nn.Linear`` layers; by default all of the network. Of these, a layer to which the
            duality does not apply (bypassed, called twice, on inputs beyond (N, n), of shared weights) is left out,
            with a warning in the log that says why.
        loss: as in ``decompose``.
        pairs: as in ``decompose``; a function, and ``"activities"``, pair anew at every layer.
        top: as in ``decompose``; a layer that has fewer directions is decomposed as without it.
        output: as in ``decompose``.
        tolerance: as in ``decompose``.

    Returns:
        The decomposition of each layer by name, in the order of ``layers`` or of the network.

    Raises:
        InputError: a layer that was named cannot be analysed, or none of the network can.
    """
    if isinstance(layers, str):
        raise InputError(f"layers is a list of names: got the text {layers!r}; write [{layers!r}]")
    check_module(model)
    check_pairs(pairs)
    if top is not None:
        whole_number("top", top, 1)
    sizes = linear_layers(model)
    try:
        names = list(sizes) if layers is None else list(layers)
    except TypeError as error:
        raise InputError(f"layers is a list of names: got {shown(layers)}") from error
    if not names:
        raise InputError("no layer to analyse: none was named")
    ours, theirs = gathered(train, "train"), gathered(test, "test")
    if pairs is None or (isinstance(pairs, str) and pairs == "inputs"):
        pairs = pairs_of_inputs(model, ours, theirs, as_loss(loss, torch.device("cpu")), tolerance)
    found, refused = {}, {}
    for name in names:
        try:
            kept = None if top is None or top >= sizes.get(name, top + 1) else top
            found[name] = decompose(model, name, ours, theirs, loss, pairs, kept, output=output, tolerance=tolerance)
        except InputError as error:
            if layers is not None:
                raise
            refused[name] = error
    if not found:  # most likely for a reason that is not the layers'
        raise next(iter(refused.values()))
    for name, reason in refused.items():
        log.warning("layer %r is left out: %s", name, reason)
    return found
