"""Weights from checkpoints, as people have them; as tensors and nothing else, since a pickle can run any code."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from awduality.errors import InputError
from awduality.files import reading

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".tar", ".th")
KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params")
"""Names under which files of training hold a state dict."""

_NAMED = 5  # names that a message lists before it only counts
_DEEP = 4  # mappings within each other that are opened
_WRAPPERS = ("module", "_orig_mod")  # of DataParallel and torch.compile, around a network or a part of it
_COUNTER = "num_batches_tracked"  # of batch norm: of no use in eval mode, and missing in old files
_ALONE = "in the program that made it, save the weights alone: torch.save(model.state_dict(), path)"

log = logging.getLogger(__name__)


def load_weights(model: nn.Module, path: Path) -> None:
    """Load weights into a network, all that it has.

    Names are taken as they are if they fit. Else wrappers (``module.``, ``_orig_mod.``) are left out wherever they
    stand, and the network is sought below a common prefix such as ``model.``; what stands beside it is left out, and
    logged. Tied weights may be there once, and the counters of batch norm be missing.

    Args:
        model: the network, changed in place.
        path: see ``read_state``.

    Raises:
        InputError: the file is not of tensors, or they are not those of this network.
    """
    state, wanted = read_state(path), model.state_dict(keep_vars=True)
    fitting = _fitting(state, list(wanted), _ties(wanted), path)
    shapes = [
        f"{name} {tuple(tensor.shape)}, wanted {tuple(wanted[name].shape)}"
        for name, tensor in fitting.items()
        if tensor.shape != wanted[name].shape
    ]
    if shapes:
        raise InputError(f"{path} is of a network of other shapes: got {listed(shapes)}")
    for name, others in _ties(wanted).items():
        given = [fitting[other] for other in (name, *others) if other in fitting]
        if any(not torch.equal(tensor, given[0]) for tensor in given[1:]):
            raise InputError(
                f"{name} and {listed(others)} are one tensor in the network, but not in {path}: build the network that "
                "the weights were saved from"
            )
        if given:
            fitting[name] = given[0]
    model.load_state_dict({name: fitting.get(name, tensor.detach()) for name, tensor in wanted.items()})


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name; no code in it is run.

    Args:
        path: ``.safetensors``, or a file of ``torch.save`` with any of ``SUFFIXES``, of a state dict or of mappings
            that hold one under any of ``KEYS``.

    Raises:
        InputError: the file holds something else, or something else too.
    """
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        state = safetensors(path, load_file)
    elif suffix in SUFFIXES:
        state = _torch_file(path)
    else:
        raise InputError(
            f"cannot tell what {path} is: wanted a .safetensors, .pt or .pth file (or .ckpt, .bin, .pth.tar)"
        )
    for _ in range(_DEEP):
        if not isinstance(state, Mapping) or any(torch.is_tensor(value) for value in state.values()):
            break
        held = [key for key in KEYS if isinstance(state.get(key), Mapping) and state[key]]
        if len(held) > 1:
            raise InputError(f"{path} holds several mappings, {' and '.join(held)}: save the state dict alone")
        if not held:
            break
        state = state[held[0]]
    if isinstance(state, Mapping):
        state = {name: value for name, value in state.items() if not str(name).endswith("_extra_state")}
    named = isinstance(state, Mapping) and all(isinstance(k, str) and torch.is_tensor(v) for k, v in state.items())
    if not named or not state:
        got = (
            f"the keys {listed(sorted(map(str, state)))}" if isinstance(state, Mapping) else f"a {type(state).__name__}"
        )
        raise InputError(
            f"{path} must hold a state dict, names with tensors, also under {', '.join(map(repr, KEYS))}: got {got}. "
            "Save it with torch.save(model.state_dict(), path)"
        )
    return dict(state)


def safetensors(path: Path, read: Callable[[Path], Any]) -> Any:
    """What a reader of safetensors finds in a file.

    Raises:
        InputError: the file is none, or is damaged.
    """
    try:
        return read(reading(path))
    except (SafetensorError, KeyError, TypeError) as error:  # the latter: of a type that NumPy lacks
        raise InputError(f"{path} is not a safetensors file, or is damaged: {error}") from error


def listed(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def told(error: Exception) -> str:
    """The first line of an error, with its kind."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'without a message'}"


def _fitting(
    state: Mapping[str, Tensor], wanted: list[str], ties: Mapping[str, list[str]], path: Path
) -> dict[str, Tensor]:
    """The tensors of the network by its own names; those of counters and of tied weights may be missing."""
    optional = {name for name in wanted if name.endswith(_COUNTER)}
    tied = {other: name for name, others in ties.items() for other in (name, *others)}

    def lacking(names: Mapping[str, str]) -> list[str]:
        there = {tied[name] for name in names if name in tied}
        return [name for name in wanted if name not in names and name not in optional and tied.get(name) not in there]

    for names in _namings(state, wanted):
        found = {name: names[name] for name in wanted if name in names}
        beside = sorted(set(state) - set(found.values()) - {name for name in state if name.endswith(_COUNTER)})
        if lacking(found) or (beside and not _below(found)):
            continue
        twice = [prefix for prefix in _prefixes(beside, wanted) if not lacking(_under(prefix, beside))]
        if twice:
            raise InputError(
                f"{path} holds this network several times, also below {listed(twice)}: save the state dict of one alone"
            )
        if beside:
            log.warning("of %s, what is not of the network is left out: %s", path, listed(beside))
        return {name: state[key] for name, key in found.items()}
    missing = sorted(lacking({name: name for name in state}))
    unexpected = sorted(name for name in set(state) - set(wanted) if not name.endswith(_COUNTER))
    faults = [f"{what} {listed(names)}" for what, names in (("lacks", missing), ("adds", unexpected)) if names]
    raise InputError(f"{path} is not of this network: it {' and '.join(faults)}. Build the network it was saved from")


def _namings(state: Mapping[str, Tensor], wanted: list[str]) -> Iterator[dict[str, str]]:
    """Ways to read the names of a file: the network's name → the file's, the plainest first."""
    yield {name: name for name in state}
    ours = {_unwrapped(name): name for name in wanted}
    if len(ours) < len(wanted):  # a network whose own names make that ambiguous
        ours = {name: name for name in wanted}
    for prefix in ("", *_prefixes(list(state), list(ours))):
        theirs: dict[str, str] = {}
        for name in state:
            plain = _unwrapped(name)
            if plain.startswith(prefix) and (own := ours.get(plain.removeprefix(prefix))) and own not in theirs:
                theirs[own] = name
        yield theirs


def _prefixes(names: list[str], wanted: list[str]) -> list[str]:
    """What can stand before all names of the network: what stands before one of them, the shortest first."""
    plain = [_unwrapped(name) for name in names]
    first = _unwrapped(wanted[0]) if wanted else ""
    found = {name.removesuffix(first) for name in plain if first and name.endswith(f".{first}")}
    return sorted(found, key=len)


def _under(prefix: str, names: list[str]) -> dict[str, str]:
    return {_unwrapped(name).removeprefix(prefix): name for name in names if _unwrapped(name).startswith(prefix)}


def _below(found: Mapping[str, str]) -> bool:
    """Whether the file's names have something before the network's, so that others may stand beside it."""
    return all(_unwrapped(key) != _unwrapped(name) for name, key in found.items())


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _ties(wanted: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """The first name of every tensor that has several → the others."""
    first: dict[int, str] = {}
    found: dict[str, list[str]] = {}
    for name, tensor in wanted.items():
        if id(tensor) in first:
            found.setdefault(first[id(tensor)], []).append(name)
        first.setdefault(id(tensor), name)
    return found


def _torch_file(path: Path) -> Any:
    place = reading(path)
    if _is_scripted(path):
        raise InputError(f"{path} is a TorchScript archive, which holds code: {_ALONE}")
    try:
        return torch.load(place, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise InputError(
            f"{path} holds Python objects beside tensors, or is damaged. Loading such objects can run any code, so "
            f"only weights are read: {_ALONE}"
        ) from error
    except OSError:
        raise
    except Exception as error:  # damaged files fail in many ways
        words = "" if "weights_only" in str(error) else f": {told(error)}"  # torch advises to load it without care
        raise InputError(f"{path} is not a checkpoint of PyTorch, or is damaged{words}") from error


def _is_scripted(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
