"""One verdict in words: what a claim's row says, its effect, its null, and what failed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal
from pathlib import Path
from typing import Any

from awduality.errors import InputError
from awduality.files import read_json
from awduality.study.discovery import DEFAULT, study

Row = Mapping[str, Any]

SIGNS = {
    "supported": "✓",
    "contradicted": "✗",
    "not distinguishable from the null": "≈",
    "inconclusive": "·",
    "not tested": "–",
}


@dataclass(frozen=True)
class Verdicts:
    """The claims of one config, of one layer."""

    rows: Mapping[str, Row]

    @classmethod
    def read(cls, folder: Path) -> Verdicts:
        """Read the verdicts on the first layer from ``figures/<config>/claims.json``; see ``every_layer``."""
        return next(iter(cls.every_layer(folder).values()))

    @classmethod
    def every_layer(cls, folder: Path) -> dict[str, Verdicts]:
        """Read ``figures/<config>/claims.json``: the verdicts on every layer, by name.

        Raises:
            InputError: there are no verdicts.
        """
        path = folder / "claims.json"
        if not path.exists():
            raise InputError(f"{path} does not exist: run the pipeline with this config, or snakemake claims")
        rows = read_json(path)
        layers = dict.fromkeys(row.get("layer", "") for row in rows)
        return {layer: cls({row["id"]: row for row in rows if row.get("layer", "") == layer}) for layer in layers}

    def verdict(self, name: str) -> str:
        """The verdict in words; of an identity, whether it holds."""
        row = self.rows[name]
        if row["identity"]:
            return "identity holds" if row["verdict"] == "supported" else "identity fails"
        return str(row["verdict"])

    def effect(self, name: str) -> str:
        """The estimate with its 95% interval; ratios as factors; of an identity the largest error."""
        row = self.rows[name]
        if row["estimate"] is None:
            return "–"
        if row["identity"]:
            return f"error ≤ {_bound(row['estimate'])}"
        if row["interval"] is None:
            return f"{row['estimate']:.0f} of {row['n']}"
        return _with_interval(row["estimate"], row["interval"], row["scale"])

    def median(self, name: str) -> str:
        """The median over seeds, of a claim on all runs however they ended, whose mean a single one may move."""
        row = self.rows[name]
        return "" if row.get("median") is None else f"median {_number(row['median'], row['scale'])}"

    def found(self, name: str) -> str:
        """The effect with what its reader needs: the median where it may differ, the p-value that fell short."""
        parts = [self.effect(name), self.median(name)]
        if self.rows[name]["verdict"] == "inconclusive" and self.rows[name].get("p_adjusted") is not None:
            parts.append(f"adjusted p {self.p(name)}")
        return ", ".join(part for part in parts if part)

    def null(self, name: str) -> str:
        """What the null gives, with its interval, or the interval alone."""
        row = self.rows[name]
        if row["null_value"] is None and row["null_interval"] is None:
            return "–"
        if row["null_interval"] is None:
            return _number(row["null_value"], row["scale"])
        return _with_interval(row["null_value"], row["null_interval"], row["scale"])

    def p(self, name: str) -> str:
        """The p-value, adjusted for the family."""
        return _p(self.rows[name]["p_adjusted"])

    def count(self, verdict: str, *, grid: bool) -> int:
        """How many claims have this verdict, in the grid or outside; identities are not counted."""
        return self._counts(grid)[verdict]

    def tested(self, *, grid: bool) -> int:
        """How many claims were tested, identities left out."""
        counts = self._counts(grid)
        return counts.total() - counts["not tested"]

    def predictor(self, name: str, label: str, factor: str | None = None) -> str:
        """A number of the details of a claim with its interval: the rank correlation of one predictor, say."""
        for entry in self.rows[name]["details"]:
            if (entry["predictor"], entry.get("factor")) == (label, factor):
                low, high = entry["interval"]
                return f"{entry['estimate']:.2f} [{low:.2f}, {high:.2f}]".replace("-", "−")
        raise InputError(f"claim {name} has no predictor {label!r}")

    def _counts(self, grid: bool) -> Counter[str]:
        rows = [row for row in self.rows.values() if in_grid(row) == grid and not row["identity"]]
        return Counter(row["verdict"] for row in rows)


def first_layer(rows: Sequence[Row]) -> dict[str, Row]:
    """The claims of the first layer by id, from the rows of ``claims.json``."""
    return {row["id"]: row for row in rows if row.get("layer") == rows[0].get("layer")}


def short(verdicts: Verdicts, name: str) -> str:
    """A verdict in at most three words."""
    words = verdicts.verdict(name)
    return {"not distinguishable from the null": "as the null"}.get(words, words)


def _bound(value: float) -> str:
    """A number of one digit that is not smaller."""
    return f"{Decimal(value).normalize(Context(prec=1, rounding=ROUND_CEILING)):.0e}"


def in_grid(row: Row) -> bool:
    """Whether a claim is one of the grid of factors and measures."""
    return row["id"].partition("/")[0] in study(DEFAULT).settings


def _with_interval(value: float | None, interval: Sequence[float | None], scale: str) -> str:
    """A value, if there is one, with its interval, to as many digits as tell the ends apart, six at most."""
    for digits in range(2 if scale == "log" else 3, 7):
        low, high = (_number(end, scale, digits) for end in interval)
        if low != high or interval[0] == interval[1]:
            break
    return f"{'' if value is None else _number(value, scale, digits)} [{low}, {high}]".strip()


def _number(value: float | None, scale: str, digits: int | None = None) -> str:
    """A ratio to two digits, a difference to three, or to as many as are asked for."""
    if value is None:
        return "–"
    if scale == "log":
        return f"×{math.exp(value):.{digits or 2}f}"
    text = f"{value:+.{digits or 3}f}" if abs(value) < 10 else f"{value:+.1f}"
    return text.replace("-", "−")


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
