"""Every fully connected layer of one network in one call."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torch import nn

from awduality.duality.decomposition import decompose
from awduality.duality.pairing import Pairs, nearest_pairs
from awduality.duality.result import Decomposition
from awduality.errors import InputError
from awduality.losses import PerSampleLoss
from awduality.probe import Array

log = logging.getLogger(__name__)


def decompose_layers(
    model: nn.Module,
    train: tuple[Array, Array],
    test: tuple[Array, Array],
    layers: Sequence[str] | None = None,
    loss: str | PerSampleLoss = "cross_entropy",
    pairs: tuple[Array, Array] | Pairs | None = None,
    top: int | None = None,
) -> dict[str, Decomposition]:
    """Split a network's generalization gap over the directions of each of its layers; the samples are paired once.

    Args:
        model: any network in eval mode; the work is done on a float64 copy.
        train: training inputs (N, …) and targets (N,), arrays or tensors.
        test: test inputs (T, …) and targets (T,).
        layers: dotted names of ``nn.Linear`` layers; by default all of the network. Of these, a layer to which the
            duality does not apply (bypassed, called twice, on inputs beyond (N, n), of shared weights) is left out,
            with a warning in the log that says why.
        loss: as in ``decompose``.
        pairs: as in ``decompose``.
        top: as in ``decompose``; a layer that has fewer directions is decomposed as without it.

    Returns:
        The decomposition of each layer by name, in the order of ``layers`` or of the network.

    Raises:
        InputError: a layer that was named cannot be analysed, or none of the network can.
    """
    if isinstance(layers, str):
        raise InputError(f"layers is a list of names: got the text {layers!r}; write [{layers!r}]")
    sizes = {name: module.weight.numel() for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    names = list(sizes) if layers is None else list(layers)
    if not names:
        raise InputError("no layer to analyse: " + ("none was named" if sizes else "the network has no nn.Linear"))
    if pairs is None:
        pairs = nearest_pairs(train, test)
    found, refused = {}, {}
    for name in names:
        try:
            kept = None if top is None or top >= sizes.get(name, top + 1) else top
            found[name] = decompose(model, name, train, test, loss, pairs, kept)
        except InputError as error:
            if layers is not None:
                raise
            refused[name] = error
    if not found:  # most likely for a reason that is not the layers'
        raise next(iter(refused.values()))
    for name, reason in refused.items():
        log.warning("layer %r is left out: %s", name, reason)
    return found
