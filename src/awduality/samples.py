"""What people bring as samples, as tensors: arrays and data frames, several inputs, data sets and loaders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    default_collate,
)

from awduality.arguments import shown
from awduality.arrays import as_tensor
from awduality.errors import InputError
from awduality.nested import Nested, described, joined, tensors

Array = np.ndarray | Tensor
Brought = Any
"""A pair (inputs, targets), a ``Dataset`` or ``DataLoader`` of such pairs, or ``Samples``; see docs/instrument.md."""

TARGETS = ("labels", "label", "targets", "target", "y")
"""Names under which a mapping holds the targets."""

_TOGETHER = 256  # samples of a data set that are put together at once


class Samples(NamedTuple):
    """Samples that have been checked and converted; they serve for every network on the same device."""

    inputs: Nested  # (N, …) float64, int64 or bool; or several of them
    targets: Tensor  # (N, …) float64 or int64


@torch.inference_mode(False)
def gathered(samples: Brought, name: str = "samples") -> Samples:
    """Samples as tensors: floats as float64, integers as int64, several inputs in the structure they came in.

    Loaders of a data set are read in the order of the data set, once and wholly, whether they shuffle or not: positions
    mean the same in every call. Samplers of the user's own are followed as they are.

    Args:
        samples: a pair of inputs and targets; a mapping with one of ``TARGETS``; a ``Dataset`` or a ``DataLoader`` of
            these; or ``Samples``, which are handed back.
        name: of the argument, for messages.

    Raises:
        InputError: samples cannot be read as numbers, some are missing or not finite, or inputs and targets differ in
            number.
    """
    if isinstance(samples, Samples):
        return samples
    if isinstance(samples, DataLoader):
        return _together(_batches(samples, name), name)
    if isinstance(samples, TensorDataset):
        return _checked(*_split(samples.tensors, name), name)
    if isinstance(samples, IterableDataset):
        return _together(_collated(samples, name), name)
    if isinstance(samples, Dataset) or _is_like_a_dataset(samples):
        try:
            items = [samples[index] for index in range(len(samples))]
        except Exception as error:  # a user's code runs
            raise InputError(f"{name} cannot be read: its data set raises {type(error).__name__}: {error}") from error
        return _together(_collated(items, name), name)
    return _checked(*_split(samples, name), name)


def _split(samples: Any, name: str) -> tuple[Any, Any]:
    """Inputs and targets of one batch."""
    if isinstance(samples, Mapping):
        found = [key for key in samples if key in TARGETS]
        if len(found) != 1:
            raise InputError(
                f"{name} is a mapping with the keys {list(map(str, samples))}: wanted one of {', '.join(TARGETS)} for "
                "the targets and the inputs beside it; or pass a pair (inputs, targets)"
            )
        inputs = {key: value for key, value in samples.items() if key != found[0]}
        return next(iter(inputs.values())) if list(inputs) in (["x"], ["inputs"]) else inputs, samples[found[0]]
    if not isinstance(samples, (tuple, list)):
        raise InputError(
            f"{name} must be a pair (inputs, targets), a Dataset or a DataLoader of such pairs: got {shown(samples)}"
        )
    if len(samples) != 2:
        raise InputError(
            f"{name} must have two parts, inputs and targets: got {len(samples)}. Put several inputs into one: "
            "((first, second), targets)"
        )
    return samples[0], samples[1]


def _checked(inputs: Any, targets: Any, name: str) -> Samples:
    wanted = as_tensor(targets, f"{name}: targets")
    if wanted.ndim == 0:
        raise InputError(f"{name}: targets must have a row per sample: got a single number")
    found = _inputs(inputs, f"{name}: inputs", len(wanted))
    first = next(iter(tensors(found)), None)
    if first is None:
        raise InputError(f"{name}: inputs hold no array: got {shown(inputs)}")
    for tensor in tensors(found):
        if tensor.ndim == 0 or len(tensor) != len(wanted) or len(wanted) == 0:
            count = len(tensor) if tensor.ndim else "a single number for"
            raise InputError(
                f"{name}: wanted as many targets as inputs, and some: got {count} inputs, {len(wanted)} targets"
            )
        if not bool(torch.isfinite(tensor).all() if tensor is found else not tensor.isnan().any()):
            raise InputError(f"{name}: some inputs are not finite: remove these samples, or mend them")
    missing = int((~torch.isfinite(wanted)).reshape(len(wanted), -1).any(1).sum())
    if missing:
        raise InputError(f"{name}: the targets of {missing} samples are missing or not finite: remove these samples")
    return Samples(found, wanted if wanted.is_floating_point() else wanted.long())


def _inputs(inputs: Any, what: str, count: int) -> Nested:
    """The inputs as tensors; a tuple, a list or a mapping of arrays with a row per sample is several inputs."""
    if isinstance(inputs, Mapping) and not hasattr(inputs, "to_numpy"):
        return {key: _part(value, f"{what}[{key!r}]", count) for key, value in inputs.items()}
    if isinstance(inputs, (tuple, list)) and _are_several(inputs, count):
        return tuple(_part(part, f"{what}[{place}]", count) for place, part in enumerate(inputs))
    return as_tensor(inputs, what)


def _are_several(inputs: tuple | list, count: int) -> bool:
    """Whether these are arrays with a row per sample, not the samples themselves."""
    arrays = [hasattr(part, "shape") or isinstance(part, Mapping) for part in inputs]
    if len(inputs) == count:  # as many inputs as samples: only a tuple of arrays can mean that
        return isinstance(inputs, tuple) and all(arrays) and all(_rows(part) == count for part in inputs)
    return any(_rows(part) == count for part in inputs) or (isinstance(inputs, tuple) and any(arrays))


def _part(value: Any, what: str, count: int) -> Nested:
    """One of several inputs; what is no array is handed to the network as it is."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return _inputs(value, what, count)


def _rows(value: Any) -> int | None:
    if isinstance(value, Mapping) and not hasattr(value, "to_numpy"):
        return next((rows for part in value.values() if (rows := _rows(part)) is not None), None)
    shape = getattr(value, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else None
    return len(value) if isinstance(value, (list, tuple)) else None


def _is_like_a_dataset(samples: Any) -> bool:
    """Whether it is a list of single samples, or has rows without being an array or a container of arrays."""
    if isinstance(samples, list):
        return len(samples) != 2 and all(
            isinstance(item, Mapping) or (isinstance(item, (tuple, list)) and len(item) == 2) for item in samples
        )
    known = isinstance(samples, (tuple, Mapping, str, bytes)) or any(
        hasattr(samples, name) for name in ("shape", "to_numpy", "toarray")
    )
    return not known and hasattr(samples, "__getitem__") and hasattr(samples, "__len__")


def _batches(loader: DataLoader, name: str) -> Iterator[Any]:
    """The batches of a loader: in the order of its data set, wherever that is known."""
    plain = (
        type(loader.batch_sampler) is BatchSampler
        and not isinstance(loader.dataset, IterableDataset)
        and (
            type(loader.sampler) is SequentialSampler
            or (type(loader.sampler) is RandomSampler and not loader.sampler.replacement)
        )
        and len(loader.sampler) == len(loader.dataset)  # type: ignore[arg-type]
    )
    try:
        if not plain:
            yield from loader
            return
        count, step = len(loader.dataset), loader.batch_size or _TOGETHER  # type: ignore[arg-type]
        for first in range(0, count, step):
            yield loader.collate_fn([loader.dataset[index] for index in range(first, min(first + step, count))])
    except Exception as error:  # a user's code runs
        raise InputError(f"{name} cannot be read: its loader raises {type(error).__name__}: {error}") from error


def _collated(items: Iterable[Any], name: str) -> Iterator[Any]:
    """Single samples put together, many at a time."""
    try:
        held = []
        for item in items:
            held.append(item)
            if len(held) == _TOGETHER:
                yield default_collate(held)
                held = []
        if held:
            yield default_collate(held)
    except Exception as error:  # samples of unequal shapes, images that are no arrays, a user's code
        raise InputError(
            f"{name} cannot be put together from its samples: {str(error).splitlines()[0]}. Make each an array, all of "
            "one shape, by a transform or by padding"
        ) from error


def _together(batches: Iterable[Any], name: str) -> Samples:
    """All batches as one."""
    parts = [_checked(*_split(batch, name), name) for batch in batches]
    if not parts:
        raise InputError(f"{name} holds no samples")
    counts = [len(part.targets) for part in parts]
    try:
        return Samples(joined([part.inputs for part in parts], counts), torch.cat([part.targets for part in parts]))
    except (RuntimeError, TypeError) as error:
        shapes = " and ".join(sorted({described(part.inputs) for part in parts})[:3])
        raise InputError(f"{name}: batches do not go together ({shapes}): pad samples to one length") from error
