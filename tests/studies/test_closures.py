"""What a step or a figure runs is what its closure says: no module that is loaded is missing there."""

import os
import subprocess
import sys

import pytest

from awduality.study import discovery
from tests.conftest import ROOT

MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for name in discovery.study_names()
    for path in (ROOT / "studies" / name).glob("*.py")
    if not path.name.startswith("test_")
)
LOADED = """
import importlib, sys
importlib.import_module(sys.argv[1])
for name, module in list(sys.modules.items()):
    if name.partition(".")[0] in ("awduality", "studies") and getattr(module, "__file__", None):
        print(module.__file__)
"""


@pytest.mark.parametrize("path", MODULES)
def test_every_module_that_is_loaded_is_in_the_closure(path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    command = [sys.executable, "-c", LOADED, path.removesuffix(".py").replace("/", ".")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    loaded = {os.path.relpath(line, ROOT) for line in done.stdout.splitlines()}
    assert path in loaded
    assert loaded <= set(discovery.closure(path))


@pytest.mark.parametrize("line", ["from .helper import x", "from . import helper", "from studies.odd import helper"])
def test_a_helper_is_in_the_closure_however_it_is_imported(tmp_path, monkeypatch, line):
    monkeypatch.setattr(discovery, "ROOT", tmp_path)
    folder = tmp_path / "studies/odd"
    folder.mkdir(parents=True)
    (folder / "helper.py").write_text("x = 1")
    (folder / "experiment.py").write_text(line)
    assert discovery.closure("studies/odd/experiment.py") == ["studies/odd/experiment.py", "studies/odd/helper.py"]


def test_a_study_of_another_tree_is_never_imported(tmp_path):
    """The working directory of an audit may be a stranger's, and lie on Python's path."""
    theirs = tmp_path / "studies/sweeps"
    theirs.mkdir(parents=True)
    (theirs / "study.py").write_text("raise SystemExit(99)")
    (theirs / "kinds.py").write_text("raise SystemExit(99)")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["", str(ROOT / "src")])}
    code = "from awduality.study.discovery import module; print(module('sweeps', 'study').__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(ROOT / "studies/sweeps/study.py")


def test_what_is_imported_stays_where_python_looks_for_it():
    from studies.sweeps import study as before

    assert discovery.module("sweeps", "study") is before
    assert sys.modules["studies"].sweeps.study is before
