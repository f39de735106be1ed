"""Results that can be printed and compared: data classes of numbers, text and arrays."""

from __future__ import annotations

import textwrap
from dataclasses import fields
from typing import Any

_WIDTH = 110


class Value:
    """What a data class of arrays inherits, made with ``eq=False, repr=False``: a few lines to read, a truth value."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{field.name}={_short(getattr(self, field.name))}" for field in fields(self))  # type: ignore[arg-type]
        return textwrap.fill(
            f"{type(self).__name__}({shown})", _WIDTH, subsequent_indent="    ", break_on_hyphens=False
        )

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_equal(getattr(self, field.name), getattr(other, field.name)) for field in fields(self))  # type: ignore[arg-type]

    def __hash__(self) -> int:
        plain = (getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]
        return hash((type(self).__name__, *(value for value in plain if isinstance(value, (str, int)))))


def _short(value: Any) -> str:
    if hasattr(value, "shape"):
        kind = str(value.dtype).removeprefix("torch.")
        return f"<{kind}\N{NO-BREAK SPACE}{'×'.join(map(str, value.shape)) or 'scalar'}>"
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def _equal(one: Any, other: Any) -> bool:
    if hasattr(one, "shape") and hasattr(other, "shape"):
        return bool(one.shape == other.shape and ((one == other) | ((one != one) & (other != other))).all())
    both_nan = one != one and other != other
    return bool(both_nan or one == other)
