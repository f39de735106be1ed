"""What claims of cause need beyond the frame: elasticities along causes, and whether two determinants multiply.

A *cause* is a setting that we move; what it moves, a determinant, is measured. Seeds are the independent repeats, and
all that is estimated is estimated within a seed, whose runs share initial weights and the order of batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd

from awduality.claims.catalogue import LOG, Claim, Quantity, did_you_mean
from awduality.claims.frame import OfRows
from awduality.claims.kind import Kind, Measured, Registry, Shape, Tables, p_of
from awduality.claims.rows import NAMES, NUMBER, QUANTITY, ROWS, columns_of, counted, rows_in_words

_HELD: Shape = {"type": "array", "minItems": 1, "items": QUANTITY, "description": "what is held in the estimate"}


def main_effects(rows: pd.DataFrame, causes: Sequence[str], values: np.ndarray) -> np.ndarray | None:
    """(causes, quantities) the changes of values (rows, quantities) from the smallest to the largest of every cause.

    Least squares on the ranks of all causes at once, so that a cell that is missing does not mix their effects. None
    where the rows do not tell the causes apart.
    """
    places = [np.ones(len(rows))]
    for cause in causes:
        levels, place = np.unique(rows[cause], return_inverse=True)
        places.append(place / max(len(levels) - 1, 1))
    design = np.column_stack(places)
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return None
    return np.asarray(np.linalg.lstsq(design, values)[0][1:])


class Planar(OfRows):
    """A statistic of one quantity on others over the plane of causes, a value per seed."""

    ratios = False  # of logarithms it is an exponent

    def held(self, claim: Claim) -> list[Quantity]:
        """What is held in the estimate."""
        given = claim.options.get("held", [])
        return [Quantity(one["columns"], one.get("scale") == LOG, one["label"]) for one in given]

    def regressors(self, claim: Claim) -> list[Quantity]:
        """What the quantity is laid to: first what the claim is about."""
        assert claim.on is not None
        return [claim.on, *self.held(claim)]

    def problems(self, claim: Claim, registry: Registry) -> Iterator[str]:
        """Causes that are no settings, or not as many as determinants, too; what is held without a name."""
        yield from super().problems(claim, registry)
        for cause in claim.options.get("causes", []):
            if cause not in registry.settings:
                yield f"statistic.causes: got {cause!r}, which is no setting{did_you_mean(cause, registry.settings)}"
        yield from (
            "statistic.held: a quantity has no label: name it"
            for one in claim.options.get("held", [])
            if "label" not in one
        )

    def reads(self, claim: Claim) -> Mapping[str, Iterable[str]]:
        """What is held and the causes, too."""
        columns = [name for one in claim.options.get("held", []) for name in one["columns"]]
        return columns_of(claim, held=columns, causes=claim.options.get("causes", []), seed=["seed"])

    def good(self, claim: Claim, tables: Tables) -> tuple[pd.DataFrame, int]:
        """Rows without what is held do not count either."""
        assert claim.quantity is not None
        rows = self.rows(claim, tables)
        good = counted(claim, rows, claim.quantity, *self.regressors(claim))
        return rows[good], int((~good).sum())

    def measure(self, claim: Claim, tables: Tables) -> Measured | str | None:
        """The mean over seeds that tell, by Student's t-test."""
        rows, excluded = self.good(claim, tables)
        found = [value for _, of in rows.groupby("seed") if (value := self.of_seed(claim, of)) is not None]
        if (reason := self.few(claim, tables, len(found))) is not None:
            return reason
        values = np.array(found) - claim.options.get("minus", 0.0)
        return Measured(values, p_of(claim, values), len(rows), excluded)

    def of_seed(self, claim: Claim, rows: pd.DataFrame) -> float | None:
        """The number of one seed; None where its rows do not tell."""
        raise NotImplementedError


class Elasticity(Planar):
    """By how much a quantity follows a determinant that is moved, others held: what causes did to one over the other.

    As many causes as determinants: the main effects of the causes on all of them are solved for. That is the estimate
    of instrumental variables; noise of the measured determinants, which pulls a regression on them towards zero, is
    averaged over all runs of a seed before anything is divided by it. It is causal as far as the causes act through
    these determinants alone.
    """

    needs: Mapping[str, Shape] = {
        "quantity": QUANTITY,
        "on": QUANTITY,
        "causes": {**NAMES, "description": "the settings that were moved, as many as determinants"},
    }
    may: Mapping[str, Shape] = {
        **ROWS,
        "held": _HELD,
        "minus": {**NUMBER, "description": "the value that it is compared with"},
    }

    def problems(self, claim: Claim, registry: Registry) -> Iterator[str]:
        """More or fewer causes than determinants, too."""
        yield from super().problems(claim, registry)
        causes, held = (len(claim.options.get(part, [])) for part in ("causes", "held"))
        if causes != 1 + held:
            yield f"statistic.causes: got {causes}, wanted as many as determinants, {1 + held}"

    def of_seed(self, claim: Claim, rows: pd.DataFrame) -> float | None:
        """The first coefficient that solves for what the causes did."""
        assert claim.quantity is not None
        values = np.column_stack([one.of(rows) for one in [claim.quantity, *self.regressors(claim)]])
        effects = main_effects(rows, claim.options["causes"], values)
        if effects is None:
            return None
        return float(np.linalg.solve(effects[:, 1:], effects[:, 0])[0])

    def words(self, claim: Claim) -> str:
        """The quantity, the determinants and the causes."""
        assert claim.quantity is not None
        assert claim.on is not None
        held = "".join(f", {one.words} held" for one in self.held(claim))
        minus = f" minus {claim.options['minus']:g}" if "minus" in claim.options else ""
        moved = " and ".join(name.replace("_", " ") for name in claim.options["causes"])
        what = f"change of {claim.quantity.words} with {claim.on.words}{held}, as moved by {moved}"
        return f"mean over seeds of the {what}{minus}{rows_in_words(claim)}"


class Interaction(Planar):
    """How much the elasticity on one determinant differs between the smallest and the largest of the other.

    Least squares of the quantity on both and their product within a seed. Where the quantity is a product of powers of
    the two, its logarithm has no such term.
    """

    needs: Mapping[str, Shape] = {"quantity": QUANTITY, "on": QUANTITY, "held": {**_HELD, "maxItems": 1}}
    may: Mapping[str, Shape] = ROWS

    def of_seed(self, claim: Claim, rows: pd.DataFrame) -> float | None:
        """The coefficient of the product, times the range of what is held."""
        assert claim.quantity is not None
        one, other = (regressor.of(rows) for regressor in self.regressors(claim))
        one, other = one - one.mean(), other - other.mean()
        design = np.column_stack([np.ones(len(rows)), one, other, one * other])
        if np.linalg.matrix_rank(design) < design.shape[1]:
            return None
        return float(np.linalg.lstsq(design, claim.quantity.of(rows))[0][3] * np.ptp(other))

    def words(self, claim: Claim) -> str:
        """The quantity and both determinants."""
        assert claim.quantity is not None
        one, other = (regressor.words for regressor in self.regressors(claim))
        what = f"slope of {claim.quantity.words} on {one} at the largest {other} minus that at the smallest"
        return f"mean over seeds of the {what}{rows_in_words(claim)}"


KINDS: Mapping[str, Kind] = MappingProxyType({"elasticity": Elasticity(), "interaction": Interaction()})
"""The kinds of this study, by name."""
