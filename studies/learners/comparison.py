"""Which runs are compared with which in the common table of determinants."""

from __future__ import annotations

from awduality.duality.determinants import MEASURED, Comparison
from awduality.learners import ALGORITHMS
from studies.learners.matched import MATCHED

LEARNERS = Comparison(
    method=lambda row: ALGORITHMS[str(row["algorithm"])],
    baselines={ALGORITHMS[name]: ALGORITHMS["ssgd"] for name in ("dpsgd", "ssgd_star")},
    matched=[name for name in MATCHED if name != "seed"],
    measures=MEASURED,
)
"""Decentralised SGD, and SGD with constant noise, with synchronous SGD of the same setting; of ``runs.csv``."""
