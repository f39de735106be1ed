"""What a user's arguments are asked, in one set of words."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from awduality.errors import InputError


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
    """The argument as an integer.

    Raises:
        InputError: it is none, or out of range.
    """
    wanted = f"an integer from {least}" + ("" if most is None else f" to {most}")
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"{name} must be {wanted}: got {shown(value)}")
    found = int(value)
    if found < least or (most is not None and found > most):
        raise InputError(f"{name} must be {wanted}: got {found}")
    return found


def number(name: str, value: Any) -> float:
    """The argument as a finite number.

    Raises:
        InputError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise InputError(f"{name} must be a finite number: got {shown(value)}")
    return float(value)


def shown(value: Any) -> str:
    """A value in a message: short ones as they are, others by their type."""
    kind = type(value).__name__
    if isinstance(value, (str, int, float, bool, type(None))):
        return f"{value!r:.80}" if value is None else f"{value!r:.80} ({kind})"
    return f"a {kind}"
