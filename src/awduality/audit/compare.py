"""Is an output that was made again the same: to the byte, or within what other threads and processors change?"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from awduality.duality.rounding import ROUNDING_ERRORS
from awduality.files import sha256

TOLERANCE = 1e-5
"""Largest deviation of a number, relative to the largest of its column or array: see docs/provenance.md for what was
measured with other numbers of threads and the kernels of other processors."""
ROUNDING = 1e-9
"""Absolute, for columns of rounding errors (``ROUNDING_ERRORS``), which no two machines share."""
DETERMINED = 1e-8
"""Directions with a smaller eigenvalue, relative to the largest, turn within their null space with every rounding."""
ARBITRARY = ("sharp_part_random",)
"""Columns that depend on the basis of the null space."""

Deviation = tuple[float, str]  # how far (inf: another kind of thing), and where


def deviation(recorded: Path, again: Path, digest: str) -> tuple[str, str]:
    """Compare an output with what a job wrote at first.

    Args:
        recorded: the file as it lies there.
        again: the file made again.
        digest: SHA-256 of the file when it was written; if ``recorded`` has another one, only bytes can be compared.

    Returns:
        ``IDENTICAL``, ``WITHIN TOLERANCE`` or ``DIFFERS``, and a line of detail.
    """
    if sha256(again) == digest:
        return "IDENTICAL", ""
    if not recorded.is_file() or sha256(recorded) != digest:
        return "DIFFERS", "other bytes than those recorded (and the file that lies there is not the recorded one)"
    compare = _COMPARE.get(recorded.suffix)
    try:
        far, where = max(compare(recorded, again), default=(0.0, "")) if compare else (math.inf, "other bytes")
    except Exception as error:  # every format has its own
        far, where = math.inf, f"one of the two cannot be read: {error!r}"
    if far <= 1.0:
        return "WITHIN TOLERANCE", f"at most {far * TOLERANCE:.0e} of the largest value, in {where}"
    return "DIFFERS", where if math.isinf(far) else f"up to {far * TOLERANCE:.0e} of the largest value, in {where}"


def _tables(recorded: Path, again: Path) -> Iterator[Deviation]:
    """Column by column: text must be equal, numbers near."""
    columns = [list(zip_longest(*_rows(path), fillvalue="")) for path in (recorded, again)]
    if [len(column) for column in columns[0]] != [len(column) for column in columns[1]]:
        yield math.inf, "another number of rows or columns"
        return
    for one, other in zip(*columns, strict=True):
        if one[:1] != other[:1]:
            yield math.inf, f"the header: {_first(one[:1], other[:1])}"
        elif one != other and one[0] not in ARBITRARY:
            try:
                before, now = ([float(cell) if cell else math.nan for cell in cells[1:]] for cells in (one, other))
            except ValueError:
                yield math.inf, f"column {one[0]}: {_first(one, other)}"
            else:
                yield _near(before, now, f"column {one[0]}", one[0] in ROUNDING_ERRORS)


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def _first(one: tuple[str, ...], other: tuple[str, ...]) -> str:
    return next(f"{a!r} became {b!r}" for a, b in zip(one, other, strict=True) if a != b)


def _near(one: list[float], other: list[float], name: str, rounding: bool) -> Deviation:
    """The largest deviation, in units of what is tolerated."""
    largest = max((abs(value) for value in one if math.isfinite(value)), default=0.0)
    unit = ROUNDING if rounding else TOLERANCE * largest
    worst = 0.0
    for a, b in zip(one, other, strict=True):
        if a != b and not (math.isnan(a) and math.isnan(b)):
            far = abs(a - b)
            worst = max(worst, far / unit if unit and math.isfinite(far) else math.inf)
    return worst, name


def _arrays(recorded: Path, again: Path) -> Iterator[Deviation]:
    from awduality.files import read_arrays

    one, other = read_arrays(recorded), read_arrays(again)
    shapes = [{name: (array.shape, array.dtype) for name, array in arrays.items()} for arrays in (one, other)]
    if shapes[0] != shapes[1]:
        yield math.inf, "other arrays"
        return
    for name, array in one.items():
        if array.tobytes() != other[name].tobytes():
            determined = _determined(one, name)
            before, now = (arrays[name].ravel()[determined].tolist() for arrays in (one, other))
            yield _near(before, now, f"array {name}", rounding=False)


def _determined(arrays: Mapping[str, Any], name: str) -> Any:
    """Which entries of an array to compare: of arrays over directions, those whose direction is determined."""
    run, _, rest = name.partition("/")
    eigenvalues = arrays.get(f"{run}/{rest.partition('/')[0]}/eigenvalues")
    if eigenvalues is None or eigenvalues.shape != arrays[name].shape or name.endswith("/eigenvalues"):
        return slice(None)
    return eigenvalues > DETERMINED * eigenvalues.max(initial=0.0)


def _json(recorded: Path, again: Path) -> Iterator[Deviation]:
    before, now = (json.loads(path.read_text(encoding="utf-8")) for path in (recorded, again))
    yield from _values(before, now, "")


def _values(one: Any, other: Any, where: str) -> Iterator[Deviation]:
    if isinstance(one, dict) and isinstance(other, dict) and set(one) == set(other):
        for key in one:
            yield from _values(one[key], other[key], f"{where}/{one.get('id', '')}{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _values(a, b, f"{where}/{number}")
    elif isinstance(one, float) and isinstance(other, float):
        yield _near([one], [other], where, rounding=False)
    elif one != other:
        yield math.inf, f"{where}: {one!r} became {other!r}"


def _pixels(recorded: Path, again: Path) -> Iterator[Deviation]:
    from PIL import Image

    with Image.open(recorded) as one, Image.open(again) as other:
        if one.size != other.size or one.convert("RGBA").tobytes() != other.convert("RGBA").tobytes():
            yield math.inf, "other pixels"
        else:
            yield 0.0, "the file format: the pixels are the same"


_COMPARE: dict[str, Callable[[Path, Path], Iterator[Deviation]]] = {
    ".csv": _tables,
    ".json": _json,
    ".png": _pixels,
    ".safetensors": _arrays,
}
