"""A float64 copy of a network, on which all work is done: the caller's network, and what its hooks keep, are untouched.

A hook is a part of the network, so that it is copied as well, with what it closes over and the globals that it names: a
hook that collects features collects them in a copy of its list. Shared is only what cannot be copied.
"""

from __future__ import annotations

import copy
import types
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from awduality.criteria import in_float64
from awduality.errors import InputError

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def copied(model: nn.Module) -> nn.Module:
    """A copy of a network in its own precision, whose parameters need no gradients.

    Raises:
        InputError: it cannot be copied.
    """
    memo: dict[int, Any] = {}
    try:
        with torch.inference_mode(False), _AsValues():
            found = copy.deepcopy(model, memo)
            for parameter in found.parameters():
                if parameter.is_inference():
                    parameter.data = parameter.detach().clone()
            for part in found.modules():
                for name, buffer in part._buffers.items():
                    if buffer is not None and buffer.is_inference():
                        part._buffers[name] = buffer.clone()
    except Exception as error:  # modules copy themselves as they like
        raise InputError(
            f"the network cannot be copied ({error}): remove what it holds beside its weights, or build it anew and "
            "load them"
        ) from error
    for module in found.modules():
        for name in _HOOKS:
            hooks = vars(module).get(name) or {}
            for key, hook in hooks.items():
                hooks[key] = _isolated(hook, memo, getattr(hook, "__module__", None))
    return found.requires_grad_(False)


def precise(model: nn.Module) -> nn.Module:
    """A float64 copy of a network.

    Raises:
        InputError: it cannot be copied, or its device has no float64.
    """
    found = copied(model)
    try:
        with torch.inference_mode(False):
            return in_float64(found)
    except (TypeError, RuntimeError) as error:
        raise InputError(
            f"the network cannot be copied to float64, in which the work is done ({error}): move it to the CPU first, "
            "by model.cpu()"
        ) from error


class _AsValues(TorchFunctionMode):
    """Copies tensors of a graph, which a forward pass or pruning has left behind, as plain values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__deepcopy__ and not args[0].is_leaf:
            return args[1].setdefault(id(args[0]), args[0].detach().clone())
        return func(*args, **(kwargs or {}))


def _isolated(function: Any, memo: dict[int, Any], home: str | None) -> Any:
    """A function of a module of the user's with copies of what it closes over, its defaults and its globals."""
    if isinstance(function, partial):
        parts = _own(function.args, memo, home), _own(function.keywords, memo, home)
        return partial(_isolated(function.func, memo, home or function.func.__module__), *parts[0], **parts[1])
    if not isinstance(function, types.FunctionType) or function.__module__ != home or _is_of_torch(home):
        return function
    if id(function) in memo:
        return memo[id(function)]
    cells = function.__closure__ or ()
    fresh = tuple(types.CellType() for _ in cells)
    names = dict(function.__globals__)
    made = types.FunctionType(function.__code__, names, function.__name__, None, fresh)
    memo[id(function)] = made
    for name in _names(function.__code__):
        if name in names:
            names[name] = _own(names[name], memo, home)
    for new, old in zip(fresh, cells, strict=True):
        try:
            new.cell_contents = _own(old.cell_contents, memo, home)
        except ValueError:  # an empty cell
            continue
    made.__defaults__ = _own(function.__defaults__, memo, home)
    made.__kwdefaults__ = _own(function.__kwdefaults__, memo, home)
    return made


def _names(code: types.CodeType) -> set[str]:
    """The names of globals in a function and in those that are defined in it."""
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*inner)


def _is_of_torch(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] == "torch"


def _own(value: Any, memo: dict[int, Any], home: str | None) -> Any:
    if isinstance(value, (types.FunctionType, partial)):
        return _isolated(value, memo, home)
    if id(value) in memo:
        return memo[id(value)]
    try:
        with _AsValues():
            return copy.deepcopy(value, memo)
    except Exception:  # a module, a file, a lock: anything can be raised
        return _parts(value, memo, home)


def _parts(value: Any, memo: dict[int, Any], home: str | None) -> Any:
    """A container of what cannot be copied as a whole, part by part; anything else is shared."""
    if isinstance(value, dict) and type(value).__init__ is dict.__init__:
        made = copy.copy(value)
        memo[id(value)] = made
        made.update({key: _own(part, memo, home) for key, part in value.items()})
        return made
    if type(value) in (list, set, tuple):
        found = type(value)(_own(part, memo, home) for part in value)
        memo[id(value)] = found
        return found
    return value
