"""The machine: what it is, and what one of its cores can do."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

REPEATS = 7
SIZE = 1024  # rows and columns of the matrices that are multiplied
COPIED = 2**28  # bytes, far more than any cache holds


def describe() -> dict[str, str]:
    """Processor, cores, memory, and versions of what computes."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "system": platform.system(),
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "NumPy": np.__version__,
    }


def processor() -> str:
    """The processor's name, as Linux gives it; elsewhere its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def measure() -> dict[str, float]:
    """Products of matrices by torch and NumPy (GFLOP/s) and copies of memory (GB/s), in this process."""
    return {
        **{f"sgemm, {name}": rate for name, rate in gemm("float32").items()},
        **{f"dgemm, {name}": rate for name, rate in gemm("float64").items()},
        "copy": copy_rate(),
    }


def sgemm() -> float:
    """The larger of torch's and NumPy's rate, GFLOP/s."""
    return max(gemm("float32").values())


def gemm(dtype: str) -> dict[str, float]:
    """GFLOP/s of square products, by library."""
    left, right = (np.random.default_rng(seed).random((SIZE, SIZE)).astype(dtype) for seed in (0, 1))
    out = np.empty_like(left)
    tensors = [torch.from_numpy(array) for array in (left, right, out)]
    operations = 2 * SIZE**3 / 1e9
    return {
        "torch": operations / _median(lambda: torch.mm(*tensors[:2], out=tensors[2])),
        "NumPy": operations / _median(lambda: np.matmul(left, right, out=out)),
    }


def copy_rate() -> float:
    """GB/s of a copy of memory, bytes read and bytes written both counted."""
    source = torch.ones(COPIED, dtype=torch.uint8)
    target = torch.zeros_like(source)
    return 2 * COPIED / 1e9 / _median(lambda: target.copy_(source))


def _median(call: Callable[[], object]) -> float:
    call()
    durations = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)
