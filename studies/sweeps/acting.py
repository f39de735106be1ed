"""The claim that several factors each act through sharpness or size: decided from the verdicts on the grid."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from awduality.claims.catalogue import Claim
from awduality.claims.kind import Kind, Row, Shape, Tables

_SIZE = "sigma_w_total"


class Acting(Kind):
    """How many factors act.

    A factor acts through a measure if it and the gap both change, in the same direction, and beat their nulls.
    Sharpness falls with the training loss: it counts only where the runs of the sweep stop at the same.
    """

    needs: Mapping[str, Shape] = {
        name: {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "description": f"a {one}"},
            "description": f"{one}s",
        }
        for name, one in (("factors", "factor"), ("through", "measure"))
    }

    def measure(self, claim: Claim, tables: Tables) -> None:
        """Nothing: it is decided from verdicts."""
        del claim, tables

    def words(self, claim: Claim) -> str:
        """What is counted."""
        del claim
        return "number of factors that act through sharpness or size"

    def decide(self, claim: Claim, rows: Mapping[str, Row]) -> Row:
        """From the verdicts on the grid of one layer."""
        details: list[Row] = []
        for factor in claim.options["factors"]:
            gap, matched = rows[f"{factor}/gap"], rows[f"{factor}/train_loss"]["verdict"] == "supported"
            through = [
                measure
                for measure in claim.options["through"]
                if (matched or measure == _SIZE) and _moves(gap) * _moves(rows[f"{factor}/{measure}"]) > 0
            ]
            tested = gap["p_adjusted"] is not None
            details.append({"factor": factor, "tested": tested, "matched_loss": matched, "through": through})
        if not all(entry["tested"] for entry in details):
            return {"details": details, "reason": "some of these factors have no runs in this config"}
        acting = sum(bool(entry["through"]) for entry in details)
        reason = f"{acting} of {len(details)} factors act, and the claim is about all"
        return {
            "verdict": "supported" if acting == len(details) else "inconclusive",
            "estimate": float(acting),
            "n": len(details),
            "threshold": float(len(details)),
            "reason": reason if acting < len(details) else None,
            "details": details,
        }


def _moves(row: Row) -> int:
    """The direction of a change that was established, expected or not; 0 for none."""
    established = row["verdict"] in ("supported", "contradicted") and not row["expected"].startswith("equivalent")
    return int(np.sign(row["estimate"])) if established else 0
