"""How a network is called, its output picked, and one of its layers listened to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from awduality.arguments import shown
from awduality.errors import InputError
from awduality.losses import about_types
from awduality.nested import Nested, described, tensors

Output = int | str | Callable[[Any], Any] | None
"""Which part of a network's output the loss takes: an index, a key or attribute, a function, or all of it."""

_USUAL = "logits"  # the name by which models return what the loss takes


def forward(model: nn.Module, inputs: Nested) -> Any:
    """What a network returns for inputs: a tuple is handed over as several, a mapping by keywords.

    Where the network has no such parameters, the tuple or mapping is its one input.

    Raises:
        InputError: it raises an error.
    """
    try:
        if isinstance(inputs, Mapping):
            return model(**inputs) if _accepts(model, **inputs) else model(inputs)
        if isinstance(inputs, tuple) and not hasattr(inputs, "_fields"):
            return model(*inputs) if _accepts(model, *inputs) else model(inputs)
        return model(inputs)
    except Exception as error:  # a user's code runs: anything can be raised
        kinds = ", ".join(sorted({str(tensor.dtype) for tensor in tensors(inputs)}))
        raise InputError(
            f"the network does not accept inputs of shape {described(inputs)} and type {kinds}: "
            f"{error}{about_types(error)}"
        ) from error


def picked(outputs: Any, output: Output, *, whole: bool) -> Any:
    """The part of the output that the loss takes.

    Args:
        outputs: what the network returned.
        output: which part is wanted.
        whole: whether the loss takes the whole where no part is named, as a function of the user's does. Else it is
            ``logits`` of a mapping or object, or the only tensor.

    Raises:
        InputError: there is no such part, or none is named and several could be meant.
    """
    if output is not None:
        return _part(outputs, output)
    if whole or torch.is_tensor(outputs):
        return outputs
    usual = outputs.get(_USUAL) if isinstance(outputs, Mapping) else getattr(outputs, _USUAL, None)
    if torch.is_tensor(usual):
        return usual
    found = list(tensors(outputs))
    if len(found) == 1:
        return found[0]
    raise InputError(
        f"the network returns {described(outputs)}: say which part the loss takes, by output= and an index, a key or a "
        "function of what is returned; or pass a loss that takes it whole"
    )


def check_output(output: Any) -> None:
    """Refuse what names no part of an output."""
    if isinstance(output, bool) or not (output is None or isinstance(output, (int, str)) or callable(output)):
        raise InputError(f"output must be an index, a key, or a function of what is returned: got {shown(output)}")


def _part(outputs: Any, output: int | str | Callable[[Any], Any]) -> Any:
    try:
        if callable(output):
            return output(outputs)
        if isinstance(output, str) and not isinstance(outputs, Mapping):
            return getattr(outputs, output)
        if torch.is_tensor(outputs):
            raise TypeError("one tensor, of which no part need be picked")  # noqa: TRY301
        return outputs[output]
    except Exception as error:  # a user's code runs: anything can be raised
        raise InputError(
            f"output={output!r} picks nothing from what the network returns, {described(outputs)}: {error!r}"
        ) from error


def _accepts(model: nn.Module, *inputs: Any, **named: Any) -> bool:
    """Whether the network's forward has parameters for all of these."""
    inner = model
    while isinstance(inner, nn.DataParallel) or hasattr(inner, "_orig_mod"):
        inner = getattr(inner, "_orig_mod", None) or inner.module  # type: ignore[assignment]
    try:
        inspect.signature(inner.forward).bind(*inputs, **named)
    except TypeError:
        return False
    except ValueError:  # without a signature
        return len(inputs) != 1
    return True


@contextmanager
def hooked(layer: nn.Module, function: Callable[[Tensor, Tensor], Any]) -> Iterator[None]:
    """Call a function (input, output) wherever the layer is called; what it returns replaces the output."""

    def hook(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any], output: Tensor) -> Any:
        return function(args[0] if args else named["input"], output)

    handle = layer.register_forward_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
