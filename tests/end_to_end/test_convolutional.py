"""The whole pipeline for a convolutional network on standardised inputs, layer by layer; every seed has its own."""

import subprocess
import sys

import pytest
import yaml

from awduality.files import read_json, read_table
from tests.conftest import commit, repository, run_snakemake

pytestmark = [pytest.mark.slow]

CONFIG = {
    "name": "convolutional",
    "seeds": 2,
    "data": {
        "standardised": True,
        "subset_per_seed": True,
        "pool": {"start": 0, "count": 400},
        "test": {"start": 0, "count": 100},
    },
    "network": {"convolutions": [4, 8], "first_width": 12},
    "layers": ["fc2", "fc1"],
    "defaults": {"train_size": 200, "width": 8},
    "sweeps": {"batch_size": [10, 25]},
    "training": {"target_loss": 0.1, "target_accuracy": 0.9, "max_steps": 4000},
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    tree = repository(tmp_path_factory.mktemp("convolutional") / "tree")
    (tree / "config/convolutional.yaml").write_text(yaml.safe_dump(CONFIG))
    commit(tree, "A config")
    run_snakemake(tree, "--configfile", "config/convolutional.yaml")
    return tree


def test_every_layer_of_every_run_is_analysed_and_judged(tree):
    rows = read_table(tree / "figures/convolutional/runs.csv")
    assert len(rows) == 4 * 2 * 2  # runs, layers, pairings
    assert all(float(row["output_error"]) < 1e-12 and float(row["estimate_error"]) < 1e-12 for row in rows)
    estimates = {(row["run"], row["pairing"]): set() for row in rows}
    for row in rows:
        estimates[row["run"], row["pairing"]].add(round(float(row["estimate"]), 9))
    assert all(len(found) == 1 for found in estimates.values())  # no pair is dropped: the sum is that of the losses
    assert (tree / "figures/convolutional/layers.svg").exists()


def test_every_seed_drew_its_own_samples(tree):
    records = [read_json(path) for path in (tree / "results/convolutional/records").glob("train-*.json")]
    drawn = {(entry["purpose"], entry["index"]) for record in records for entry in record["streams"]}
    assert {("subset", seed) for seed in (0, 1)} <= drawn


def test_the_run_passes_its_audit(tree):
    audit = subprocess.run(
        [sys.executable, "scripts/audit.py", "convolutional"], cwd=tree, capture_output=True, text=True, check=False
    )
    assert audit.returncode == 0, audit.stdout
    assert "All well." in audit.stdout
