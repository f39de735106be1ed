"""Peak memory of a layer of 784×200 weights, each case in a process of its own."""

import subprocess
import sys

import pytest

SETUP = """
import re
import torch
from awduality import nearest_pairs
from awduality.curvature.operators import HessianOperator, top_spectrum
from awduality.duality.changes import pair_changes
from awduality.duality.decomposition import decompose_in_basis
from awduality.networks import fully_connected
from awduality.probe import LayerProbe

def peak():  # getrusage would start from what the parent had
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 2**10  # MiB

generator = torch.Generator().manual_seed(0)
x, y = torch.rand(2000, 784, generator=generator).double(), torch.arange(2000) % 10
torch.manual_seed(0)
probe = LayerProbe(fully_connected([784, 200, 10]), "fc1")
seen = probe.see((x, y))
small = LayerProbe(fully_connected([20, 20, 10]), "fc1")  # loads what is loaded on first use
some = small.see((x[:50, :20], y[:50]))
basis = top_spectrum(HessianOperator(small, some), 3)
decompose_in_basis(pair_changes(small, some, some, nearest_pairs((x[:50, :20], y[:50]), (x[:50, :20], y[:50]))), basis)
pairs = nearest_pairs((x, y), (x, y))
before = peak()
"""

TOP = "top_spectrum(HessianOperator(probe, seen, most_bytes=0), 2)"

KEPT = "HessianOperator(probe, seen) @ torch.ones(156800, 1).double()"

CHANGES = """
basis = type(basis)(torch.zeros(20).double(), torch.eye(156800, 20).double(), 1.0)
before = peak()
decompose_in_basis(pair_changes(probe, seen, seen, pairs), basis)
"""


pytestmark = [
    pytest.mark.slow,
    pytest.mark.full,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads a process's peak memory from /proc"),
]


@pytest.fixture
def growth(root):
    """MiB by which a case raises the peak of its process."""

    def measure(case):
        code = f"{SETUP}\n{case}\nprint(peak() - before)"
        run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=root / "src")
        return float(run.stdout)

    return measure


def test_the_top_pairs_take_memory_for_their_vectors_but_not_for_curvatures_that_do_not_fit(growth):
    curvatures = 2000 * 200**2 * 8 / 2**20  # 610 MiB
    assert growth(TOP) < 300 < curvatures
    assert growth(KEPT) > curvatures  # what is measured here is what it seems


def test_dual_weights_are_never_all_held_as_matrices(growth):
    matrices = 2000 * 156_800 * 8 / 2**20  # 2.3 GiB
    assert growth(CHANGES) < 500 < matrices
