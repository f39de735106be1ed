"""Networks of a user's own, from files: the module that builds one, and the samples to analyse it on.

No file is trusted: arrays are read without pickle, weights (``awduality.weights``) as tensors and nothing else. The
module that builds the network is the user's own code, and runs.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from awduality.errors import InputError
from awduality.files import read_arrays, reading
from awduality.weights import listed, load_weights, safetensors, told

__all__ = ["SampleFile", "build_model", "load_weights", "read_samples"]

_SAMPLES = ("train_inputs", "train_targets", "test_inputs", "test_targets")
_PAIRS = ("train_pairs", "test_pairs")


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
        raise InputError(f"importing {module_name!r} raises {told(error)}") from error
    build = getattr(module, name, None)
    if not callable(build):
        found = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        what = "is not a function or class" if hasattr(module, name) else "is not there"
        raise InputError(f"{name!r} {what}: module {module_name!r} has the functions and classes {found}")
    try:
        model = build()
    except Exception as error:
        raise InputError(f"{place}() raises {told(error)}: it is called without arguments") from error
    if not isinstance(model, nn.Module):
        raise InputError(f"{place}() must return a torch.nn.Module: got {_kind(model)}")
    return model.eval()


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
        arrays = safetensors(path, read_arrays)
    else:
        raise InputError(f"cannot tell what {path} is: wanted an .npz or .safetensors file")
    lacking = [name for name in _SAMPLES if name not in arrays]
    if lacking:
        raise InputError(f"{path} lacks {', '.join(lacking)}: got the arrays {listed(sorted(arrays))}")
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


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"
