"""Tensors in tuples, mappings and objects of any depth: what networks of several inputs or outputs take and give."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

Nested = Any
"""A tensor, or a tuple, list, mapping, data class or plain object of such; anything else in it is left as it is."""


def mapped(function: Callable[[Tensor], Any], nested: Nested) -> Nested:
    """The same structure with a function of each tensor in its place."""
    if torch.is_tensor(nested):
        return function(nested)
    if isinstance(nested, Mapping):
        parts = {key: mapped(function, value) for key, value in nested.items()}
        if type(nested) is dict:
            return parts
        try:
            return type(nested)(**parts)  # an output of Hugging Face is a data class and a mapping
        except TypeError:
            return type(nested)(parts)  # type: ignore[call-arg]
    if isinstance(nested, (tuple, list)):
        found = [mapped(function, value) for value in nested]
        return type(nested)(*found) if hasattr(nested, "_fields") else type(nested)(found)
    if names := _attributes(nested):
        copied = copy.copy(nested)
        for name in names:
            object.__setattr__(copied, name, mapped(function, getattr(nested, name)))
        return copied
    return nested


def tensors(nested: Nested) -> Iterator[Tensor]:
    """Every tensor in it, in order."""
    if torch.is_tensor(nested):
        yield nested
    elif isinstance(nested, Mapping):
        for value in nested.values():
            yield from tensors(value)
    elif isinstance(nested, (tuple, list)):
        for value in nested:
            yield from tensors(value)
    else:
        for name in _attributes(nested):
            yield from tensors(getattr(nested, name))


def rows(nested: Nested, which: slice | Tensor, count: int) -> Nested:
    """Some of the samples: rows of every tensor that has a row for each of ``count`` samples, and the others whole."""
    if torch.is_tensor(nested):
        return nested[which]
    return mapped(lambda tensor: tensor[which] if _per_sample(tensor, count) else tensor, nested)


def joined(parts: list[Nested], counts: list[int]) -> Nested:
    """Consecutive samples put together again: tensors that have a row per sample are concatenated.

    Raises:
        RuntimeError: tensors do not go together.
    """
    if torch.is_tensor(parts[0]):
        return torch.cat(parts)
    flat = [list(tensors(part)) for part in parts]
    if len({len(some) for some in flat}) != 1:
        raise RuntimeError("batches of different structure")
    places = iter(zip(*flat, strict=True))

    def together(_: Tensor) -> Tensor:
        found = next(places)
        each = all(_per_sample(tensor, count) for tensor, count in zip(found, counts, strict=True))
        return torch.cat(found) if each else found[0]

    return mapped(together, parts[0])


def described(nested: Nested) -> str:
    """Shapes in the structure's own form, for messages: ``{'ids': (60, 9), 'mask': (60, 9)}``."""
    if torch.is_tensor(nested):
        return str(tuple(nested.shape))
    if isinstance(nested, Mapping):
        return "{" + ", ".join(f"{key!r}: {described(value)}" for key, value in nested.items()) + "}"
    if isinstance(nested, (tuple, list)):
        return "(" + ", ".join(described(value) for value in nested) + ")"
    return f"a {type(nested).__name__}"


def _per_sample(tensor: Tensor, count: int) -> bool:
    return tensor.ndim > 0 and len(tensor) == count


def _attributes(nested: Any) -> list[str]:
    """Where a plain object keeps what it holds; none of numbers, text, classes, functions and modules."""
    if isinstance(nested, (type, nn.Module)) or callable(nested):
        return []
    if is_dataclass(nested):
        return [field.name for field in fields(nested) if hasattr(nested, field.name)]
    return list(vars(nested)) if hasattr(nested, "__dict__") else []
