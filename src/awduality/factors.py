"""The hyper-parameter factors under study: their names, symbols and where each comes from.

``authors' code`` is the demonstration that accompanies Feng, Zhang & Tu (2023); what each factor does to training is in
``awduality.training.schemes`` and ``awduality.data.label_noise``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Factor:
    """One factor: how figures write it, what type its values have, and its source."""

    label: str
    symbol: str
    kind: type[int] | type[float]
    source: str

    @property
    def plain(self) -> str:
        """The label without markup, for text."""
        return self.label.replace("$L_2$", "L2")

    @property
    def axis_label(self) -> str:
        """The label with its symbol, for an axis."""
        return f"{self.label} ${self.symbol}$"


_PAPER = "Feng, Zhang & Tu (2023), abstract; values from the authors' code"

FACTORS: Mapping[str, Factor] = MappingProxyType(
    {
        "batch_size": Factor("Batch size", "B", int, _PAPER),
        "learning_rate": Factor("Learning rate", r"\alpha", float, _PAPER),
        "weight_decay": Factor("Weight decay", r"\beta", float, f"{_PAPER}: unsquared norm, first epochs only"),
        "l2": Factor(r"$L_2$ decay", r"\lambda_2", float, "the usual squared-norm decay; not in the authors' code"),
        "init_scale": Factor("Initial scale", "s", float, "authors' code only"),
        "dropout": Factor("Dropout rate", "d", float, _PAPER),
        "label_noise": Factor("Label noise", r"\rho", float, _PAPER),
        "train_size": Factor("Training size", "N", int, _PAPER),
        "width": Factor("Hidden width", "H", int, "hinted at by the authors' plots"),
    }
)

BASELINE = "baseline"
"""The name that stands for "all factors at their defaults" where a factor's name is expected."""


def format_value(value: float) -> str:
    """A factor's value as text: 0.1, 4,000."""
    return f"{value:,g}" if value < 1e6 else f"{value:g}"
