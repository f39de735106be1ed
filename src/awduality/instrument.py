"""The decomposition of several layers of one network as a table's rows, arrays, and lines to read."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from awduality.checkpoints import SampleFile
from awduality.duality.decomposition import Decomposition, decompose
from awduality.duality.summary import COLUMNS, Row, summary
from awduality.errors import InputError
from awduality.losses import PerSampleLoss, named_loss

_WHOLE = (  # of COLUMNS, those that need every direction of the layer: empty where only the top ones are known
    *("flat_part", "mean_term", "sigma_g_total", "sigma_w_total", "sigma_g_norm", "sigma_w_norm", "c_median"),
    *("c_sharpest", "c_flattest", "sharpness_rank", "spectra_correlation", "trace", "quadratic", "rank", "size_error"),
)
LAYER_COLUMNS = (
    *("layer", "weights", "directions", "remainder"),
    *(name for name in COLUMNS if name not in ("run", "layer", "pairing", "weight_norm")),
)
"""The columns of the table of a network's layers."""


def chosen_loss(name: str, label_smoothing: float) -> str | PerSampleLoss:
    """The loss of this name, the cross-entropy also with smoothed labels.

    Raises:
        InputError: no loss has this name, or it has no labels to smooth, or the smoothing is not in [0, 1).
    """
    named_loss(name)
    if not label_smoothing:
        return name
    if name != "cross_entropy" or not 0 <= label_smoothing < 1:
        raise InputError(
            "label smoothing is a number from 0 to 1 and belongs to the cross-entropy: "
            f"got {label_smoothing} and {name}"
        )
    return partial(_smoothed, epsilon=label_smoothing)


def _smoothed(logits: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    return cross_entropy(logits, labels, label_smoothing=epsilon, reduction="none")


def decompose_all(
    model: nn.Module,
    layers: Sequence[str],
    samples: SampleFile,
    loss: str | PerSampleLoss = "cross_entropy",
    top: int | None = None,
) -> dict[str, Decomposition]:
    """Decompose several layers of one network.

    Args:
        model: in eval mode.
        layers: dotted names, or ``all`` alone: every linear layer that the duality holds for. Those that are refused
            are logged with the reason.
        samples: what to compare.
        loss: as for ``decompose``.
        top: keep this many directions of largest eigenvalue, or all of a layer that has fewer.

    Raises:
        InputError: a layer that was named is refused, or all are.
    """
    every = list(layers) == ["all"]
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)] if every else layers
    results: dict[str, Decomposition] = {}
    refusals = []
    for name in dict.fromkeys(names):
        try:
            kept = top if top is None else min(top, _weights(model, name))
            results[name] = decompose(model, name, samples.train, samples.test, loss, samples.pairs, kept)
        except InputError as error:
            if not every:
                raise
            refusals.append(f"layer {name!r} is left out: {error}")
            logging.info("%s", refusals[-1])
    if not results:
        raise InputError("\n".join(["no layer can be decomposed", *refusals]))
    return results


def _weights(model: nn.Module, layer: str) -> int:
    """The number of weights of a layer; of one that does not exist, which ``decompose`` refuses, 1."""
    module = dict(model.named_modules()).get(layer)
    return module.weight.numel() if isinstance(module, nn.Linear) else 1


def layer_row(model: nn.Module, result: Decomposition, sharp_directions: int) -> Row:
    """The row of one layer; see ``LAYER_COLUMNS``.

    Args:
        model: the network.
        result: the decomposition of the layer.
        sharp_directions: how many directions make up the sharp part.
    """
    weight = model.get_parameter(f"{result.layer}.weight")
    row = {
        "layer": result.layer,
        "weights": weight.numel(),
        "directions": len(result.eigenvalues),
        "remainder": result.remainder,
        **summary(result, sharp_directions),
        "layer_norm": float(torch.linalg.vector_norm(weight.detach().double())),
    }
    truncated = len(result.eigenvalues) < weight.numel()
    return {name: row[name] for name in LAYER_COLUMNS if not (truncated and name in _WHOLE)}


def all_arrays(result: Decomposition) -> dict[str, np.ndarray]:
    """Every field of a decomposition that is a number or an array, by name."""
    found = {field.name: getattr(result, field.name) for field in fields(result)}
    return {
        name: np.asarray(value) for name, value in found.items() if not isinstance(value, str) and value is not None
    }


def lines(rows: Sequence[Mapping[str, Any]], loss_unit: str) -> str:
    """What a reader wants to know first, a line per layer."""
    heads = ("layer", "weights", "gap", "estimate", "sharp part", "flat part", "remainder", "pairs", "dropped")
    table: list[tuple[str, ...]] = [heads]
    for row in rows:
        numbers = [row["gap"], row["estimate"], row["sharp_part"], row.get("flat_part"), row["remainder"]]
        words = ("–" if number is None else f"{number:.4g}" for number in numbers)
        table.append((str(row["layer"]), str(row["weights"]), *words, str(row["pairs"]), str(row["dropped"])))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    text = ["  ".join(word.rjust(width) for word, width in zip(line, widths, strict=True)) for line in table]
    unit = f"Losses in {loss_unit}. " if loss_unit else ""
    note = (
        f"{unit}The estimate is the mean loss difference of the pairs; flat part: of all directions but the sharp ones."
    )
    return "\n".join([*text, note]) + "\n"
