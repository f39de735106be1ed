"""Networks of a user's own, from files: the module that builds one, its weights, and the samples to analyse it on.

No file is trusted: weights are read as tensors and nothing else, arrays without pickle. The module that builds the
network is the user's own code, and runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from awduality.errors import InputError
from awduality.files import read_arrays, reading

_SAMPLES = ("train_inputs", "train_targets", "test_inputs", "test_targets")
_PAIRS = ("train_pairs", "test_pairs")
_NAMED = 5  # names that a message lists before it only counts


@dataclass(frozen=True)
class SampleFile:
    """Training and test samples, and which of them are compared."""

    train: tuple[np.ndarray, np.ndarray]  # inputs (N, …), targets (N, …)
    test: tuple[np.ndarray, np.ndarray]  # inputs (T, …), targets (T, …)
    pairs: tuple[np.ndarray, np.ndarray] | None  # positions (P,) in the two; None: the nearest of the same class


def build_model(place: str) -> nn.Module:
    """The network that a function or class without arguments returns, in eval mode.

    Args:
        place: ``package.module:name``; the module must be importable.

    Raises:
        InputError: there is no such module or name, it fails, or it does not return a ``torch.nn.Module``.
    """
    module_name, _, name = place.partition(":")
    if not module_name or not name:
        raise InputError(f"wanted package.module:name of a function that builds the network: got {place!r}")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        itself = f"{module_name}.".startswith(f"{error.name}.")
        what = "there is no such module" if itself else f"it imports {error.name!r}, which is not there"
        raise InputError(
            f"cannot import {module_name!r}: {what}. Modules are sought in the current folder, on PYTHONPATH and among "
            "the installed packages"
        ) from error
    except Exception as error:
        raise InputError(f"importing {module_name!r} raises {_told(error)}") from error
    build = getattr(module, name, None)
    if not callable(build):
        found = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        what = "is not a function or class" if hasattr(module, name) else "is not there"
        raise InputError(f"{name!r} {what}: module {module_name!r} has the functions and classes {found}")
    try:
        model = build()
    except Exception as error:
        raise InputError(f"{place}() raises {_told(error)}: it is called without arguments") from error
    if not isinstance(model, nn.Module):
        raise InputError(f"{place}() must return a torch.nn.Module: got {_kind(model)}")
    return model.eval()


def load_weights(model: nn.Module, path: Path) -> None:
    """Load weights into a network, all of them and no others.

    Args:
        model: the network, changed in place.
        path: ``.safetensors``, or ``.pt``, ``.pth`` of a state dict, also one under the key ``state_dict`` or
            ``model``; ``module.`` or ``_orig_mod.`` before all names (DataParallel, ``torch.compile``) is taken off.

    Raises:
        InputError: the file is not of tensors, or they are not those of this network.
    """
    state = read_state(path)
    wanted = model.state_dict()
    missing, unexpected = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    if missing or unexpected:
        faults = [f"{what} {_listed(names)}" for what, names in (("lacks", missing), ("adds", unexpected)) if names]
        raise InputError(
            f"{path} is not of this network: it {' and '.join(faults)}. Build the network it was saved from"
        )
    shapes = [
        f"{name} {tuple(state[name].shape)}, wanted {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if state[name].shape != tensor.shape
    ]
    if shapes:
        raise InputError(f"{path} is of a network of other shapes: got {_listed(shapes)}")
    model.load_state_dict(state)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name; no code in it is run.

    Raises:
        InputError: the file holds something else, or something else too.
    """
    if path.suffix == ".safetensors":
        state = _safetensors(path, load_file)
    elif path.suffix in (".pt", ".pth"):
        state = _torch_file(path)
    else:
        raise InputError(f"cannot tell what {path} is: wanted a .safetensors, .pt or .pth file")
    for key in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    named = isinstance(state, Mapping) and all(isinstance(k, str) and torch.is_tensor(v) for k, v in state.items())
    if not named or not state:
        got = f"the keys {_listed(sorted(map(str, state)))}" if isinstance(state, Mapping) else _kind(state)
        raise InputError(
            f"{path} must hold a state dict, names with tensors, also under 'state_dict' or 'model': got {got}. "
            "Save it with torch.save(model.state_dict(), path)"
        )
    for prefix in ("module.", "_orig_mod."):
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return dict(state)


def read_samples(path: Path) -> SampleFile:
    """Training and test samples from an ``.npz`` or ``.safetensors`` file.

    Args:
        path: arrays ``train_inputs``, ``train_targets``, ``test_inputs``, ``test_targets``, and optionally both of
            ``train_pairs`` and ``test_pairs``, the positions of the samples that are compared.

    Raises:
        InputError: arrays are missing, or hold Python objects, or inputs and targets differ in number.
    """
    if path.suffix == ".npz":
        arrays = _npz(path)
    elif path.suffix == ".safetensors":
        arrays = _safetensors(path, read_arrays)
    else:
        raise InputError(f"cannot tell what {path} is: wanted an .npz or .safetensors file")
    lacking = [name for name in _SAMPLES if name not in arrays]
    if lacking:
        raise InputError(f"{path} lacks {', '.join(lacking)}: got the arrays {_listed(sorted(arrays))}")
    for name in arrays:
        if arrays[name].dtype.kind not in "biuf":
            raise InputError(f"{name} in {path} must be of real numbers: got {arrays[name].dtype}")
    for part in ("train", "test"):
        inputs, targets = arrays[f"{part}_inputs"], arrays[f"{part}_targets"]
        if inputs.ndim < 2 or targets.ndim < 1 or len(inputs) != len(targets):
            raise InputError(
                f"wanted {part}_inputs of shape (N, …) and as many {part}_targets: "
                f"got {inputs.shape} and {targets.shape}"
            )
    given = [name for name in _PAIRS if name in arrays]
    if len(given) == 1:
        raise InputError(f"{path} holds {given[0]} alone: wanted both of {' and '.join(_PAIRS)}, or neither")
    train_inputs, train_targets, test_inputs, test_targets = (arrays[name] for name in _SAMPLES)
    pairs = (arrays[_PAIRS[0]], arrays[_PAIRS[1]]) if given else None
    return SampleFile((train_inputs, train_targets), (test_inputs, test_targets), pairs)


def _torch_file(path: Path) -> Any:
    try:
        return torch.load(reading(path), map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise InputError(
            f"{path} holds Python objects beside tensors, or is damaged. Loading such objects can run any code, so "
            "only weights are read: where you trust the file, load it yourself and torch.save(model.state_dict(), path)"
        ) from error
    except OSError:
        raise
    except Exception as error:  # damaged files fail in many ways
        raise InputError(f"{path} is not a checkpoint of PyTorch, or is damaged: {_told(error)}") from error


def _safetensors(path: Path, read: Callable[[Path], Any]) -> Any:
    try:
        return read(reading(path))
    except (SafetensorError, KeyError, TypeError) as error:  # the latter: of a type that NumPy lacks
        raise InputError(f"{path} is not a safetensors file, or is damaged: {error}") from error


def _npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(reading(path), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError:
        raise
    except Exception as error:  # damaged files fail in many ways
        raise InputError(
            f"{path} cannot be read: {error}. Wanted numpy.savez(path, train_inputs=…, …) with arrays of numbers"
        ) from error


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'without a message'}"


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"
