"""Arrays of any kind as tensors: NumPy, pandas, sparse matrices, lists, tensors. Duck-typed: nothing is imported."""

from __future__ import annotations

from numbers import Number
from typing import Any

import numpy as np
import torch
from torch import Tensor

from awduality.arguments import shown
from awduality.errors import InputError

_LARGEST = 2**63
_OF_TEXT = "; make class indices of text, by numpy.unique(labels, return_inverse=True)[1]"


def as_tensor(value: Any, what: str) -> Tensor:
    """An array as a dense tensor of its own numbers: float64, int64 or bool, on the device where it lies.

    Args:
        value: a tensor (dense or sparse), an array (of any stride and byte order), a pandas series or data frame, a
            SciPy sparse matrix, a list of numbers, arrays or tensors, or whatever NumPy takes for an array.
        what: its name in messages.

    Raises:
        InputError: it holds text, dates, Python objects, complex numbers or missing values, or has no shape.
    """
    tensor = _of_torch(value, what) if torch.is_tensor(value) else _of_numpy(value, what)
    if tensor.is_complex():
        raise InputError(f"{what} must be of real numbers: got complex ones")
    if tensor.is_floating_point():
        return tensor.double()
    return tensor if tensor.dtype == torch.bool else tensor.long()


def _of_torch(value: Tensor, what: str) -> Tensor:
    if value.is_meta or value.is_nested:
        kind = "on the meta device, without values" if value.is_meta else "nested, of samples of unequal shapes"
        raise InputError(f"{what} is a tensor {kind}: wanted a dense one with a row per sample")
    if value.is_quantized:
        value = value.dequantize()
    dense = value.detach().to_dense() if value.layout != torch.strided else value.detach()
    dense = dense.resolve_conj().resolve_neg()
    return dense.clone() if dense.is_inference() else dense


def _of_numpy(value: Any, what: str) -> Tensor:
    if isinstance(value, (list, tuple)) and value and all(torch.is_tensor(item) for item in value):
        try:
            return torch.stack([_of_torch(item, what) for item in value])
        except (RuntimeError, TypeError) as error:
            raise InputError(f"{what} is a list of tensors that make no array: {error}") from error
    if value is None or isinstance(value, (str, bytes, dict, set)):
        raise InputError(f"{what} must be an array of numbers: got {shown(value)}")
    try:
        if hasattr(value, "toarray"):
            value = value.toarray()
        elif hasattr(value, "to_numpy"):
            value = value.to_numpy()
        array = value if isinstance(value, np.ma.MaskedArray) else np.asarray(value)
    except Exception as error:  # whoever made the array runs
        raise InputError(f"{what} must be an array of numbers, with equally long rows: {error}") from error
    if isinstance(array, np.ma.MaskedArray):
        if np.ma.is_masked(array):
            raise InputError(f"{what} has {int(np.ma.getmaskarray(array).sum())} masked values: remove these samples")
        array = array.data
    return torch.from_numpy(_of_torchs_types(array, what))


def _of_torchs_types(array: np.ndarray, what: str) -> np.ndarray:
    """The same numbers in an array that torch can take: of its types, native, contiguous and writable."""
    if array.dtype.kind == "O":
        array = _numbers(array, what)
    kind = array.dtype.kind
    if kind == "c":
        raise InputError(f"{what} must be of real numbers: got complex ones ({array.dtype})")
    if kind not in "biuf":
        words = _OF_TEXT if kind in "UST" else ""
        raise InputError(f"{what} must be of numbers: got {array.dtype}{words}")
    if kind == "u" and array.dtype.itemsize == 8 and array.size and int(array.max()) >= _LARGEST:
        raise InputError(f"{what} holds integers beyond 2^63, which torch has not")
    wanted = {"b": np.bool_, "i": np.int64, "u": np.int64, "f": np.float64}[kind]
    return np.require(array.astype(wanted, copy=False), requirements=["C", "W"])


def _numbers(array: np.ndarray, what: str) -> np.ndarray:
    """An array of Python objects as one of numbers, if they are all numbers, such as the columns of a data frame."""
    items = array.ravel().tolist()
    others = [item for item in items if not isinstance(item, (Number, np.generic)) or isinstance(item, np.str_)]
    if others:
        kinds = sorted({type(item).__name__ for item in others})
        words = (
            "; make class indices of text, by numpy.unique(labels, return_inverse=True)[1]" if "str" in kinds else ""
        )
        missing = "missing values, or " if any("NA" in kind for kind in kinds) else ""
        raise InputError(f"{what} must be of numbers: got {missing}objects of type {', '.join(kinds)}{words}")
    try:
        return np.array(items).reshape(array.shape)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{what} must be an array of numbers: {error}") from error
