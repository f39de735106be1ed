"""docs/tutorial.ipynb: it runs from start to end, and shows what its own cells gave."""

import getpass
import socket

import pytest

from tests.tutorial import ROOT, TUTORIAL, execute, outputs, read, source_digest

WRITE = "run `make tutorial`, which executes the notebook and writes its outputs"


def test_the_outputs_shown_are_those_of_the_cells_shown():
    notebook = read()
    assert notebook.metadata["awduality"]["source_sha256"] == source_digest(notebook), WRITE
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), WRITE


def test_the_notebook_says_nothing_of_the_machine_that_ran_it():
    notebook = read()
    kinds = {output["output_type"] for cell in notebook.cells for output in cell.get("outputs", [])}
    assert kinds == {"stream", "execute_result"} or kinds == {"stream", "display_data", "execute_result"}
    assert all(output.get("name") != "stderr" for cell in notebook.cells for output in cell.get("outputs", []))
    text = TUTORIAL.read_text(encoding="utf-8")
    pictures = [
        output["data"]["image/png"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert pictures
    for picture in pictures:
        text = text.replace(picture.strip(), "")
    for word in (str(ROOT), "/home/", "/tmp/", "site-packages", socket.gethostname()):
        assert word not in text
    if len(getpass.getuser()) > 4:
        assert getpass.getuser() not in text


@pytest.mark.slow
@pytest.mark.full
def test_the_tutorial_runs_and_its_numbers_are_those_shown():
    shown = outputs(read())
    assert outputs(execute(read())) == shown  # and every assertion in its cells holds
