"""What random streams are for. Standard library only, since plans are checked against it."""

from __future__ import annotations

PURPOSES = (
    *("init", "order", "dropout", "label_noise", "subset", "null", "bootstrap", "density", "mixing", "perturbation"),
)
"""The purposes of the library, whose keys are fixed for good; a study's own are ``<study>/<purpose>``."""
