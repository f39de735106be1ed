"""The decomposition of several layers of one network as a table's rows, arrays, and lines to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from awduality.duality.result import Decomposition
from awduality.duality.summary import COLUMNS, Row, known, summary
from awduality.errors import InputError
from awduality.losses import PerSampleLoss, named_loss, smoothed_cross_entropy

LAYER_COLUMNS = (
    *("layer", "weights", "directions", "remainder"),
    *(name for name in COLUMNS if name not in ("run", "layer", "pairing", "weight_norm")),
)
"""The columns of the table of a network's layers."""


def chosen_loss(name: str, label_smoothing: float) -> str | PerSampleLoss:
    """The loss of this name, the cross-entropy also with smoothed labels.

    Raises:
        InputError: no loss has this name, or it has no labels to smooth, or the smoothing is out of range.
    """
    named_loss(name)
    if not label_smoothing:
        return name
    if name != "cross_entropy":
        raise InputError(f"only the cross-entropy has labels to smooth: got {label_smoothing} for {name}")
    return smoothed_cross_entropy(label_smoothing)


def layer_row(model: nn.Module, result: Decomposition, sharp_directions: int) -> Row:
    """The row of one layer; see ``LAYER_COLUMNS``.

    Args:
        model: the network.
        result: the decomposition of the layer.
        sharp_directions: how many directions make up the sharp part.
    """
    weight: Tensor = model.get_submodule(result.layer).weight  # type: ignore[assignment]
    row = {
        "layer": result.layer,
        "weights": weight.numel(),
        "directions": len(result.eigenvalues),
        "remainder": result.remainder,
        **summary(result, sharp_directions),
        "layer_norm": float(torch.linalg.vector_norm(weight.detach().double())),
    }
    return known(result, {name: row[name] for name in LAYER_COLUMNS})


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
