"""What several tests share: small data, small networks, a copy of the tree in which Snakemake may run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import settings

from awduality.data.sources import load
from awduality.data.splits import Split, read_split, split_arrays
from awduality.files import write_arrays

# No deadline: machines are noisy. In CI the same examples every time, so that a failure is the change's fault.
settings.register_profile("awduality", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("awduality")

os.environ["GIT_OPTIONAL_LOCKS"] = "0"  # asking for the state of a repository writes nothing there

ROOT = Path(__file__).resolve().parents[1]
SMOKE = ("--configfile", "config/smoke.yaml")
TREE: tuple[str, ...] = (
    "Snakefile",
    "workflow",
    "scripts",
    "studies",
    "config",
    "profiles",
    "src",
    "environment.yml",
    ".gitignore",
)
TREE += ("constraints.txt", "pyproject.toml", "LICENSE", "README.md", "docs")  # for the audit and the crate
TREE += ("CITATION.cff", "CHANGELOG.md", "CONTRIBUTING.md")


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the project."""
    return ROOT


@pytest.fixture(scope="session")
def digits_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split of the digits: 400 samples to train on, 100 to test."""
    path = tmp_path_factory.mktemp("data") / "digits.safetensors"
    arrays = split_arrays(load("digits", Path("unused")), 1, {"start": 0, "count": 400}, {"start": 0, "count": 100})
    write_arrays(path, arrays)
    return path


@pytest.fixture(scope="session")
def digits(digits_file: Path) -> Split:
    return read_split(digits_file)


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The data root, if MNIST lies there."""
    folder = Path(os.environ.get("AWDUALITY_DATA", ROOT / "data"))
    if not (folder / "MNIST/raw/train-images-idx3-ubyte").exists():
        pytest.skip(f"MNIST is not in {folder}: name the folder that holds MNIST/raw/ in AWDUALITY_DATA")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which the smoke config has been run, from a clean commit. Copy it to change anything."""

    def make(tree: Path) -> None:
        repository(tree)
        run_snakemake(tree, *SMOKE)
        settle(tree)

    return made_once(tmp_path_factory, "finished", make)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder for all workers, made by the one that comes first; the others wait. Nothing in it may be altered.

    Args:
        factory: of temporary folders.
        name: of the folder.
        make: makes it.
    """
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, complete = base / "shared" / name, base / "shared" / f"{name}.complete"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(base / "shared" / f"{name}.lock"):
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)  # what a worker that failed has left
            make(folder)
            complete.touch()
    return folder


def settle(tree: Path) -> None:
    """Compile all modules and pack the repository: nothing is written there while others copy it, and few files are."""
    command = [sys.executable, "-m", "compileall", "-q", "src", "scripts", "studies"]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)
    git(tree, "gc", "--quiet")
    git(tree, "status", "--short")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what Snakemake needs, without results."""
    return copy_tree(tmp_path / "tree")


def copy_tree(target: Path) -> Path:
    target.mkdir(parents=True)
    for name in TREE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target / name)
    return target


def git(tree: Path, *arguments: str) -> str:
    """Run git as nobody in particular."""
    settings = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "-c", "init.defaultBranch=main")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *settings, *arguments], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(tree: Path, message: str) -> str:
    """Commit everything that git does not ignore."""
    git(tree, "add", "--all")
    git(tree, "commit", "--quiet", "--message", message)
    return git(tree, "rev-parse", "HEAD")


def unpack_head(root: Path, target: Path, *folders: str) -> None:
    """Put what HEAD holds of these files and folders into another folder."""
    archive = subprocess.run(["git", "archive", "HEAD", *folders], cwd=root, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip("not a git checkout with committed figures")
    subprocess.run(["tar", "-x"], cwd=target, input=archive.stdout, check=True)


def repository(target: Path) -> Path:
    """What Snakemake and the audit need, committed in a repository of its own."""
    tree = copy_tree(target)
    git(tree, "init", "--quiet")
    commit(tree, "The code")
    return tree


def run_snakemake(tree: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a tree; the result's stdout holds everything that it printed."""
    environment = {**os.environ, "AWDUALITY_DEVICE": "cpu"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stdout
    return done


@pytest.fixture(scope="session")
def snakemake() -> Callable[..., subprocess.CompletedProcess[str]]:
    return run_snakemake


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
