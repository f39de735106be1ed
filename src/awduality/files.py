"""Files that are either whole or absent: written under a temporary name, then moved into place.

A killed job, a full disk or a read-only folder leaves the previous file as it was. What a step reads and writes through
here is noted in its ledger with its digest.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from awduality.errors import InputError
from awduality.ledger import FileEntry, current

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 digest of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def reading(path: Path) -> Path:
    """The path, after a note in the step's ledger that this file is read."""
    if (step := current()) is not None:
        step.inputs[absolute(path)] = entry(path)
    return path


def absolute(path: Path) -> Path:
    """The absolute path, links left as they are: ``results`` may be a link to a larger disk."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def entry(path: Path) -> FileEntry:
    """Size and digest of a file as it is now."""
    return FileEntry(path.stat().st_size, sha256(path))


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Call ``write`` on a temporary name beside ``path``, then move the result into place.

    The temporary name keeps the suffix of ``path``, since some writers choose their format by it.

    Raises:
        InputError: the folder or the file cannot be written (permissions, disk full).
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        temporary.chmod(0o666 & ~_umask())
        if (step := current()) is not None:
            step.outputs[absolute(path)] = entry(temporary)
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"cannot write {path}: {reason}. Whatever stood there before is untouched; "
            "make room or make the folder writable, then run the same command again."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with line feeds, whatever the platform."""
    write_atomically(path, lambda temporary: _write_bytes(temporary, text.encode()))


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys and two spaces of indentation: the same value gives the same bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_text(path: Path) -> str:
    """Read UTF-8 text."""
    return reading(path).read_text(encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(read_text(path))


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None) -> None:
    """Write rows as CSV: a header, floats by ``repr`` (they read back to the same bits), missing values empty.

    Args:
        path: the file to write.
        rows: one mapping per row.
        columns: names and order of the columns; by default those of the first row. A row may lack some of them,
            but a name outside them is an error.
    """
    names = list(columns) if columns is not None else list(rows[0])
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n", extrasaction="raise", restval="")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    write_text(path, text.getvalue())


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, every cell as text."""
    with reading(path).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def read_frame(path: Path) -> pd.DataFrame:
    """A CSV file as a data frame."""
    import pandas as pd

    return pd.read_csv(reading(path))


def _cell(value: Any) -> str:
    if hasattr(value, "item"):  # a NumPy or torch scalar
        value = value.item()
    if value is None or (isinstance(value, float) and value != value):
        return ""
    return repr(value) if isinstance(value, float) else str(value)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write named arrays as one safetensors file, in the order of their names."""
    import numpy as np
    from safetensors.numpy import save

    ordered = {name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}
    content = save(ordered, metadata=dict(metadata) if metadata else None)
    write_atomically(path, lambda temporary: _write_bytes(temporary, content))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of a safetensors file."""
    from safetensors.numpy import load_file

    return dict(load_file(reading(path)))
