"""References and project do the same work; the report fills the places of its tables and nothing else."""

import itertools
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Sampler, TensorDataset

from awduality.layers import layer_names
from awduality.networks import from_weights, fully_connected
from awduality.training import schemes
from awduality.training.loop import train
from awduality.training.run import Training
from studies.sweeps.study import expand
from tests.benchmarks import ours, published, report, tuned
from tests.benchmarks.work import problem
from tests.benchmarks.workers import alone, at_once
from tests.settings import AUTHORS

SIZE, EPOCHS, SEED = 400, 6, 3
DEFAULTS = {**AUTHORS, "train_size": SIZE, "width": 8, "batch_size": 25}
STEPS = EPOCHS * SIZE // DEFAULTS["batch_size"]
TRAINING = {
    "hidden_layers": 2,
    "root_seed": 1,
    "target_loss": -1.0,
    "target_accuracy": 0.99,
    "max_steps": STEPS,
    "weight_decay_epochs": 3,
}


class ProjectOrder(Sampler):
    """The batch order of a seed, a permutation further every epoch."""

    def __init__(self, seed):
        self._orders = schemes.batch_order(SIZE, TRAINING["root_seed"], seed)

    def __iter__(self):
        return iter(next(self._orders).tolist())


def by_reference(name, digits, settings, monkeypatch):
    """A reference's weights, from the project's initial weights and in its batch order."""
    work = problem(digits, settings, TRAINING)
    widths = [64, work.width, work.width, 10]
    weights = schemes.initial_weights(
        [p.shape for p in fully_connected(widths).parameters()], work.init_scale, TRAINING["root_seed"], SEED
    )
    network = from_weights(dict(zip(layer_names(2), weights, strict=True)))
    if name == "tuned":
        orders = schemes.batch_order(SIZE, TRAINING["root_seed"], SEED)
        monkeypatch.setattr(torch, "randperm", lambda size, generator: torch.from_numpy(next(orders)))
        batches = tuned.Batches(work, SEED)
    else:
        batches = DataLoader(TensorDataset(*work.train), work.batch_size, sampler=ProjectOrder(SEED))
    assert published.train(work, network, batches) == EPOCHS
    return [weight.detach().numpy() for weight in network.parameters()]


@pytest.mark.parametrize("name", ["published", "tuned"])
@pytest.mark.parametrize("change", [{}, {"weight_decay": 0.05}, {"init_scale": 3.0}, {"batch_size": 30}])
def test_a_reference_trains_to_the_weights_of_the_project(name, change, digits, monkeypatch):
    (run,) = expand({**DEFAULTS, **change}, "learning_rate", [0.1], [SEED])
    steps = EPOCHS * -(-SIZE // run.settings["batch_size"])
    (solution,) = train([run], digits, Training(**{**TRAINING, "max_steps": steps}), torch.device("cpu"))
    assert solution.steps == steps
    monkeypatch.setitem(TRAINING, "max_steps", steps)
    weights = by_reference(name, digits, run.settings, monkeypatch)
    for found, wanted in zip(weights, solution.weights, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_dropout_acts_on_the_first_hidden_layer_while_training_and_not_in_evaluation(digits):
    work = problem(digits, {**DEFAULTS, "dropout": 0.5, "width": 200}, TRAINING)
    network = published.initial_network(work, SEED)
    below, above = network.fc1(work.train[0]).relu(), network.relu1(network.fc1(work.train[0]))
    assert 0.45 < float((above == 0)[below > 0].float().mean()) < 0.55
    torch.testing.assert_close(above[above > 0], 2 * below[above > 0])
    network.eval()
    torch.testing.assert_close(network.relu1(network.fc1(work.train[0])), below)


def test_the_references_stop_at_the_target(digits):
    work = replace(problem(digits, DEFAULTS, TRAINING), target_loss=0.5, target_accuracy=0.0, max_epochs=500)
    network = published.initial_network(work, SEED)
    epochs = published.train(work, network, published.batches(work, SEED))
    assert 1 < epochs < 500
    assert published.evaluate(network, work.train)[0] < 0.5


@pytest.mark.parametrize("reference", [published, tuned])
def test_a_reference_finds_the_geometry_of_the_project(reference, digits):
    work = replace(problem(digits, DEFAULTS, TRAINING), max_epochs=60)
    network = published.initial_network(work, SEED)
    published.train(work, network, tuned.Batches(work, SEED))
    weights = dict(zip(layer_names(2), (w.detach().numpy() for w in network.parameters()), strict=True))
    wanted = ours.geometry(digits, weights, SIZE)
    found = reference.analyse(work, from_weights(weights))
    resolved = wanted.eigenvalues > 1e-5 * wanted.eigenvalues[0]
    assert resolved.sum() > 20
    np.testing.assert_allclose(found.eigenvalues, wanted.eigenvalues, rtol=0, atol=1e-8 * wanted.eigenvalues[0])
    for name in ("sigma_g", "sigma_w", "product"):
        mine, other = getattr(wanted, name)[resolved], getattr(found, name)[resolved]
        np.testing.assert_allclose(other, mine, rtol=1e-8, atol=1e-8 * np.abs(mine).max())
    np.testing.assert_allclose(found.product.sum(), wanted.product.sum(), rtol=1e-8)


def test_processes_that_run_at_once_have_one_thread_each_and_no_settings_of_the_project():
    assert "MKL_CBWR" in os.environ  # set by the project in this process
    assert at_once(os.getenv, [("OPENBLAS_NUM_THREADS",), ("MKL_CBWR",)]) == ["1", None]
    assert at_once(torch.get_num_threads, [(), ()]) == [1, 1]
    assert alone(os.getenv, "MKL_CBWR") is None
    assert "MKL_CBWR" in os.environ


def test_a_task_that_fails_ends_the_measurement():
    with pytest.raises(ValueError, match="invalid literal"):
        at_once(int, [("no number",), ("1",)])


LIMIT = {"case": "5 seeds", "batch_size": 25, "rate": 51.23, "sgemm": 61.0, "share": 0.8398}
SWEEP = {"sweep": "batch size", "runs": 40, "epochs": 18881, "published": 1234.4, "tuned": 321.6, "ours": 29.96}
MEASURED = {
    "datetime": "2024-02-03T10:20:30.123456+00:00",
    "benchmarks": [
        {"extra_info": {"machine": [{"processor": "A", "cores": "2", "sgemm, torch": 61.04, "copy": 9.876}]}},
        {"extra_info": {"limits": [LIMIT]}},
        {"extra_info": {"sweeps": [{**SWEEP, "published_ratio": 41.2, "tuned_ratio": 10.73}]}},
        {"extra_info": {"sweeps": [{**SWEEP, "sweep": "others", "published_ratio": 123.4, "tuned_ratio": 9.96}]}},
        {
            "extra_info": {
                "training-curves": [
                    {"curve": curve, "value": value, "microseconds": 40.0 * value}
                    for curve, value in itertools.product(["runs", "width"], [1, 20])
                ]
            }
        },
    ],
}
DOCUMENT = """# Title
<!-- benchmark: machine -->
old
<!-- /benchmark -->
Text between.
<!-- benchmark: limits -->
<!-- /benchmark -->
<!-- benchmark: sweeps -->
<!-- /benchmark -->
<!-- benchmark: training-curves -->
<!-- /benchmark -->
<!-- benchmark: geometry -->
| kept |
<!-- /benchmark -->
The end.
"""


def test_the_report_fills_the_places_of_its_tables_and_leaves_the_rest(tmp_path):
    (tmp_path / "measured.json").write_text(json.dumps(MEASURED), encoding="utf-8")
    (tmp_path / "document.md").write_text(DOCUMENT, encoding="utf-8")
    for _ in range(2):  # a second time changes nothing
        report.main([str(tmp_path / "measured.json"), str(tmp_path / "document.md")])
        text = (tmp_path / "document.md").read_text(encoding="utf-8")
        for line in (
            "| date | 2024-02-03 |",
            "| sgemm, torch | 61.0 GFLOP/s |",
            "| copy | 9.88 GB/s |",
            "| 5 seeds | 25 | 51.2 | 61.0 | 84% |",
            "| batch size | 40 | 18,881 | 1,230 | 322 | 30.0 | ×41 | ×11 |",
            "| others | 40 | 18,881 | 1,230 | 322 | 30.0 | ×120 | ×10 |",
            "| runs | 1 | 20 |",
            "| µs per run and step | 40.0 | 800 |",
        ):
            assert text.count(line + "\n") >= 1, line
        assert "old" not in text
        assert "<!-- benchmark: geometry -->\n| kept |\n<!-- /benchmark -->\nThe end.\n" in text
        assert text.startswith("# Title\n<!-- benchmark: machine -->\n|  |  |\n")
        assert "<!-- /benchmark -->\nText between.\n" in text


def test_the_report_names_a_table_that_has_no_place():
    with pytest.raises(ValueError, match="no place for machine"):
        report.filled(DOCUMENT.replace("benchmark: machine", "benchmark: other"), MEASURED)


def test_two_significant_digits_are_kept():
    assert [report.ratio(value) for value in (0.0123, 0.996, 9.96, 45.5, 123.4)] == [
        "×0.012",
        "×1.0",
        "×10",
        "×46",
        "×120",
    ]
