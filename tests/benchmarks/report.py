"""Write the tables of ``docs/performance.md`` from what ``make bench`` measured.

    python -m tests.benchmarks.report results/benchmarks.json [docs/performance.md]

A table replaces what stands between ``<!-- benchmark: NAME -->`` and ``<!-- /benchmark -->``; all else stays as it is.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from awduality.files import write_text

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/performance.md"
_MARKED = re.compile(r"(<!-- benchmark: (.+?) -->\n).*?(<!-- /benchmark -->)", re.DOTALL)

Row = Mapping[str, Any]
Column = tuple[str, str, Callable[[Any], str]]  # header, key of the row, how a value is written


def digits(value: float, number: int = 3) -> str:
    """A value with so many significant digits, no exponent: 1,230, 12.3, 0.0120."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.{number - 1}e}")
    return f"{rounded:,.{max(0, number - 1 - math.floor(math.log10(abs(rounded))))}f}"


def ratio(value: float) -> str:
    """A ratio with two significant digits."""
    return f"×{digits(value, 2)}"


def count(value: int) -> str:
    """A whole number."""
    return f"{value:,}"


def milliseconds(value: float) -> str:
    """Seconds as milliseconds."""
    return digits(1000 * value)


def percent(value: float) -> str:
    """A share as whole percent."""
    return f"{100 * value:.0f}%"


def _compared(unit: str, write: Callable[[float], str]) -> list[Column]:
    return [
        (f"published, {unit}", "published", write),
        (f"tuned, {unit}", "tuned", write),
        (f"awduality, {unit}", "ours", write),
        ("against published", "published_ratio", ratio),
        ("against tuned", "tuned_ratio", ratio),
    ]


TABLES: dict[str, list[Column]] = {
    "training": [
        ("batch size", "batch_size", count),
        ("runs in a stack", "runs", count),
        *_compared("ms", milliseconds),
    ],
    "sweeps": [("sweep", "sweep", str), ("runs", "runs", count), ("epochs", "epochs", count), *_compared("s", digits)],
    "extrapolation": [
        ("batch size", "batch_size", count),
        ("epochs", "epochs", count),
        ("epochs × time per epoch, s", "expected", digits),
        ("measured, s", "measured", digits),
        ("measured ÷ expected", "ratio", digits),
    ],
    "geometry": [("", "what", str), ("s per network", "seconds", digits), ("in units of `decompose`", "ratio", ratio)],
    "limits": [
        ("runs", "case", str),
        ("batch size", "batch_size", count),
        ("GFLOP/s", "rate", digits),
        ("sgemm, GFLOP/s", "sgemm", digits),
        ("share", "share", percent),
    ],
    "records": [
        ("step", "step", str),
        ("its work, ms", "seconds", milliseconds),
        ("its record, ms", "record", milliseconds),
    ],
    "learners": [
        ("total batch", "total_batch", count),
        ("runs in stacks", "runs", str),
        ("stacked, ms", "stacked_elapsed", milliseconds),
        ("processes, ms", "processes_elapsed", milliseconds),
        ("ratio", "ratio_elapsed", ratio),
        ("stacked, ms of cores", "stacked_busy", milliseconds),
        ("processes, ms of cores", "processes_busy", milliseconds),
        ("ratio", "ratio_busy", ratio),
    ],
    "networks": [
        ("network", "network", str),
        ("layer", "layer", str),
        ("weights", "weights", count),
        ("training samples", "train", count),
        ("test samples", "test", count),
        ("directions", "directions", count),
        ("s", "seconds", digits),
        ("peak, GiB", "memory", digits),
    ],
    "crossover": [
        ("weights", "weights", count),
        ("all directions, s", "dense", digits),
        *((f"top {top}, s", f"top {top}", digits) for top in (10, 20, 50)),
    ],
}
CURVES = {"training-curves": ("microseconds", "µs per run and step"), "geometry-curves": ("seconds", "s per network")}
MACHINE_UNITS = {"sgemm": "GFLOP/s", "dgemm": "GFLOP/s", "copy": "GB/s"}


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def rendered(name: str, rows: Sequence[Row]) -> str:
    """A table of the report as Markdown."""
    if name in TABLES:
        headers, keys, formats = zip(*TABLES[name], strict=True)
        cells = [
            [write(row[key]) if key in row else "" for key, write in zip(keys, formats, strict=True)] for row in rows
        ]
        return table(headers, cells)
    if name in CURVES:
        return _curves(rows, *CURVES[name])
    return table(["", ""], [[key, _machine(key, value)] for row in rows for key, value in row.items()])


def _curves(rows: Sequence[Row], key: str, unit: str) -> str:
    """A table per curve, its values side by side."""
    tables = []
    for curve in dict.fromkeys(row["curve"] for row in rows):
        points = [row for row in rows if row["curve"] == curve]
        headers = [curve, *(count(row["value"]) for row in points)]
        tables.append(table(headers, [[unit, *(digits(row[key]) for row in points)]]))
    return "\n".join(tables)


def _machine(key: str, value: str | float) -> str:
    return value if isinstance(value, str) else f"{digits(value)} {MACHINE_UNITS[key.partition(',')[0]]}"


def tables(measured: Mapping[str, Any]) -> dict[str, str]:
    """Every table that was measured; rows of several benchmarks go into one table, in their order."""
    rows: dict[str, list[Row]] = {}
    for benchmark in measured["benchmarks"]:
        for name, found in benchmark["extra_info"].items():
            rows.setdefault(name, []).extend(found)
    if "machine" in rows:
        rows["machine"] = [{"date": measured["datetime"][:10], **rows["machine"][0]}]
    return {name: rendered(name, found) for name, found in rows.items()}


def filled(document: str, measured: Mapping[str, Any]) -> str:
    """The document with the tables that were measured in their places; one not measured stays as it was.

    Raises:
        ValueError: a measured table has no place in the document.
    """
    found = tables(measured)
    if missing := set(found) - {name for _, name, _ in _MARKED.findall(document)}:
        raise ValueError(f"the document has no place for {', '.join(sorted(missing))}: wanted <!-- benchmark: … -->")

    def replaced(match: re.Match[str]) -> str:
        start, name, end = match.groups()
        return f"{start}{found[name]}{end}" if name in found else match[0]

    return _MARKED.sub(replaced, document)


def main(arguments: Sequence[str]) -> None:
    """Fill the document."""
    measured = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    document = Path(arguments[1]) if len(arguments) > 1 else DOCUMENT
    write_text(document, filled(document.read_text(encoding="utf-8"), measured))


if __name__ == "__main__":
    main(sys.argv[1:])
