"""Large layers and deep networks: seconds and peak memory of one decomposition, each in a process with all cores."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.benchmarks import networks
from tests.benchmarks.conftest import Record, Row
from tests.benchmarks.workers import alone

pytestmark = [pytest.mark.timeout(3600), pytest.mark.mnist, pytest.mark.cifar10_jpeg]


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,500 images of the JPEG copy of CIFAR-10."""
    root = Path(os.environ.get("AWDUALITY_DATA", "data"))
    if not (root / networks.CIFAR10).exists():
        pytest.skip(f"{networks.CIFAR10} is not in {root}: name the folder that holds it in AWDUALITY_DATA")
    return networks.write_images(root, tmp_path_factory.mktemp("data") / "cifar10.safetensors")


def test_networks(record: Record, images: Path, split_file: Path) -> None:
    """Every case, one after the other."""

    def measure() -> list[Row]:
        files = {"cifar10": images, "mnist": split_file}
        return [alone(networks.measured, case, files[case.data]) for case in networks.CASES]

    record("networks", measure)
