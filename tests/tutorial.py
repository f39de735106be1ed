"""The tutorial notebook: run it from start to end, and write it with its outputs (``make tutorial``)."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from awduality.files import write_text

ROOT = Path(__file__).resolve().parents[1]
TUTORIAL = ROOT / "docs/tutorial.ipynb"
TIMEOUT = 600  # seconds for one cell


def read() -> Any:
    """The committed notebook."""
    return nbformat.read(TUTORIAL, as_version=4)


def source_digest(notebook: Any) -> str:
    """SHA-256 of what the cells say, without their outputs."""
    cells = [f"{cell.cell_type}\n{cell.source}" for cell in notebook.cells]
    return hashlib.sha256("\n\n".join(cells).encode()).hexdigest()


def execute(notebook: Any) -> Any:
    """Run all cells in a folder of their own, with this checkout's package; a failing cell is an error."""
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    environment.pop("MPLBACKEND", None)  # the inline one, whatever the caller draws with
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=TIMEOUT,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            record_timing=False,
        )
        client.execute(env=environment)
    return notebook


def outputs(notebook: Any) -> list[str]:
    """Everything that the cells print or return, as text."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            found.append(output["text"] if "text" in output else output.get("data", {}).get("text/plain", ""))
    return found


def main() -> None:
    """Execute the notebook and write it with its outputs and the digest of the cells that gave them."""
    notebook = execute(read())
    notebook.metadata = {
        "awduality": {"source_sha256": source_digest(notebook)},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    write_text(TUTORIAL, nbformat.writes(notebook) + "\n")


if __name__ == "__main__":
    main()
