"""Which layers of a network can be opened at all: what a look at its modules tells, before anything runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from awduality.arguments import shown
from awduality.errors import InputError


def check(model: Any, layer: Any) -> None:
    """Refuse a network that cannot be analysed, or not at this layer.

    Raises:
        InputError: the layer is not there or is no ``nn.Linear``; see ``check_network``; its weights are used twice.
    """
    check_module(model)
    _check_kind(model, layer)
    check_network(model)
    _check_sharing(model, layer)


def check_module(model: Any) -> None:
    """Refuse what is no module.

    Raises:
        InputError: it is none.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model must be a torch.nn.Module: got {shown(model)}")


def linear_layers(model: nn.Module) -> dict[str, int]:
    """The number of weights of every ``nn.Linear`` of a network, by name.

    Raises:
        InputError: it has none.
    """
    modules = dict(model.named_modules())
    check_values(model)
    found = {name: module.weight.numel() for name, module in modules.items() if isinstance(module, nn.Linear)}
    if not found:
        kinds = {name: _kind(one) for name, one in modules.items() if _name(one) in ("Linear", "LinearReLU")}
        others = f", but {'; '.join(f'{name!r}, {kind}' for name, kind in kinds.items())}" if kinds else ""
        raise InputError(f"no layer to analyse: the network has no nn.Linear{others}")
    return found


def check_network(model: Any) -> None:
    """Refuse what is no network in eval mode with finite weights.

    Raises:
        InputError: it is none.
    """
    check_module(model)
    training = [name or "the network" for name, module in model.named_modules() if module.training]
    if training:
        raise InputError(
            f"{training[0]} is in train mode, where batch norm couples samples and dropout is random, so that a "
            "sample has no loss of its own: call model.eval() first"
        )
    check_values(model)


def check_values(model: nn.Module) -> None:
    """Refuse parameters and buffers without values, or with such as only a diverged run leaves.

    A buffer may be infinite, as a mask of attention is.

    Raises:
        InputError: there are some.
    """
    buffers = dict(model.named_buffers())
    for name, tensor in [*model.named_parameters(), *buffers.items()]:
        if isinstance(tensor, (UninitializedBuffer, UninitializedParameter)):
            raise InputError(f"{name} has no values yet: run some samples through the network first")
        if tensor.is_meta:
            raise InputError(f"{name} is on the meta device, without values: load the network's weights first")
        if not tensor.is_floating_point():
            continue
        wrong = tensor.detach().isnan() if name in buffers else ~torch.isfinite(tensor.detach())
        if bool(wrong.any()):
            raise InputError(f"{name} holds values that are not finite: the run has diverged, nothing to analyse")


def _check_kind(model: nn.Module, layer: Any) -> None:
    if not isinstance(layer, str):
        raise InputError(f"layer must be the dotted name of an nn.Linear: got {shown(layer)}")
    modules = dict(model.named_modules())
    if not isinstance(modules.get(layer), nn.Linear):
        known = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
        what = _kind(modules[layer]) if layer in modules else "not there"
        raise InputError(f"layer {layer!r} is {what}: the linear layers of this network are {known}")


def _check_sharing(model: nn.Module, layer: str) -> None:
    modules = dict(model.named_modules())
    own = {f"{layer}.{name}" if layer else name: tensor for name, tensor in _weights(modules[layer]).items()}
    every = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    for name, tensor in own.items():
        owners = [other for other, one in every if one is tensor or _overlap(one, tensor)]
        if len(owners) > 1:
            raise InputError(
                f"the weights of layer {layer!r} are shared ({', '.join(owners)}): changing them changes both places, "
                "so the layer has no dual weights of its own" + ("" if name.endswith("weight") else f" (by {name})")
            )


def weight_parameters(layer: nn.Module) -> list[Tensor]:
    """What the weights of a linear layer are, or are computed from by a parametrization or a hook."""
    return list(_weights(layer).values())


def _weights(layer: nn.Module) -> dict[str, Tensor]:
    found = dict(layer.named_parameters())
    return {name: tensor for name, tensor in found.items() if name != "bias" and not name.startswith(_OF_BIAS)}


_OF_BIAS = ("parametrizations.bias.", "bias_")


def _overlap(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same memory: one made from the other's ``.data``, say."""
    if one.layout != torch.strided or other.layout != torch.strided or not one.numel() or not other.numel():
        return False
    if one.device != other.device or one.untyped_storage().data_ptr() != other.untyped_storage().data_ptr():
        return False
    spans = [(tensor.data_ptr(), tensor.data_ptr() + _bytes(tensor)) for tensor in (one, other)]
    return spans[0][0] < spans[1][1] and spans[1][0] < spans[0][1]


def _bytes(tensor: Tensor) -> int:
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return (last + 1) * tensor.element_size()


def _kind(module: nn.Module) -> str:
    """What a module is, in words that tell two classes of one name apart."""
    name = _name(module)
    if isinstance(module, torch.jit.ScriptModule):
        return f"a scripted {name}, whose inside cannot be opened: use the network before torch.jit"
    if name in ("Linear", "LinearReLU") or "quantized" in type(module).__module__:
        return f"a {type(module).__module__}.{name}, not a torch.nn.Linear with weights in floating point"
    return f"a {name}"


def _name(module: nn.Module) -> str:
    return str(getattr(module, "original_name", type(module).__name__))
