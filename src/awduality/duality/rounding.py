"""Which columns hold rounding errors: what algebra makes zero, and computers nearly. Standard library only."""

from __future__ import annotations

ROUNDING_ERRORS = (
    "output_error",
    "output_error_other",
    "loss_error",
    "estimate_error",
    "basis_error",
    "size_error",
    "product_error",
    "quadratic_error",
)
"""Columns of ``awduality.duality.summary``, ``.solution`` and ``.controls``, and of studies. No two machines share
them, so they are compared by size; a column of any other name is a number like others, whatever it is called."""
