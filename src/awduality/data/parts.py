"""Which samples are trained on and which are tested on. Imports little: every reading of a config asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awduality.errors import InputError


def of_training(test: Mapping[str, Any]) -> bool:
    """Whether the samples to test on are taken from the training samples."""
    return bool(test.get("of") == "train")


def check_apart(pool: Mapping[str, int], test: Mapping[str, Any]) -> None:
    """Refuse samples of the permuted training set that are in the pool and to be tested on."""
    (first, one), (second, other) = ((part["start"], part["start"] + part["count"]) for part in (pool, test))
    if max(first, second) < min(one, other):
        raise InputError(
            f"data.test: samples {second} to {other - 1} of the permuted training samples are to test on, but "
            f"data.pool has {first} to {one - 1}: move one of the two"
        )
