"""What ``bench_networks.py`` measures: networks, their layers and how many samples."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from awduality.data.sources import load
from awduality.data.splits import read_split, split_arrays
from awduality.files import write_arrays
from awduality.networks import fully_connected

CIFAR10 = "cifar10-jpeg.tar"


@dataclass(frozen=True)
class Case:
    """One decomposition of an untrained network, whose cost is that of a trained one."""

    network: str
    data: str
    layer: str
    train: int
    test: int
    top: int | None


CASES = (
    Case("ResNet-18", "cifar10", "fc", 2000, 500, None),
    Case("ResNet-18", "cifar10", "fc", 2000, 500, 100),
    Case("784–30–30–10", "mnist", "fc1", 4000, 1000, None),
    Case("784–200–10", "mnist", "fc1", 2000, 1000, 20),
)


def _network(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name == "ResNet-18":
        from awduality.resnet import resnet18

        return resnet18()
    return fully_connected([int(width) for width in name.split("–")])


def write_images(root: Path, path: Path) -> Path:
    """The images of the largest case, as a split."""
    dataset = load("image_folder", root, CIFAR10)
    train, test = (max(getattr(case, part) for case in CASES if case.data == "cifar10") for part in ("train", "test"))
    write_arrays(path, split_arrays(dataset, 1, {"start": 0, "count": train}, {"start": 0, "count": test}))
    return path


def _peak() -> float:
    """The peak memory of this process in GiB, on Linux; ``getrusage`` would start from what the parent had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    return int(found[1]) / 2**20 if found else float("nan")


def measured(case: Case, split_file: Path) -> dict[str, str | int | float]:
    """Seconds of a decomposition, and the peak memory of the process, in GiB."""
    from awduality.duality.decomposition import decompose

    split, model = read_split(split_file), _network(case.network)
    shape = (3, 32, 32) if case.data == "cifar10" else (784,)
    (x, y), (x_test, y_test) = split.train(case.train), split.test
    train, test = (x.reshape(-1, *shape), y), (x_test[: case.test].reshape(-1, *shape), y_test[: case.test])
    start = time.perf_counter()
    result = decompose(model, case.layer, train, test, top=case.top)
    return {
        "network": case.network,
        "layer": case.layer,
        "weights": model.get_parameter(f"{case.layer}.weight").numel(),
        "train": case.train,
        "test": case.test,
        "directions": len(result.eigenvalues),
        "seconds": time.perf_counter() - start,
        "memory": _peak(),
    }
