"""The runs against the sweeps' own numbers, the tempered gap against a plain fit, the plan against what it says."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from awduality.config import resolve_file
from awduality.duality.analysis import Analysis
from awduality.layers import weight_names
from awduality.networks import from_weights
from awduality.runs import Run
from awduality.study.plan import plan
from awduality.study.step import Job
from awduality.training.loop import train
from awduality.training.run import Training
from studies.overconfidence.experiment import engine_run, run
from studies.overconfidence.study import problems

QUICK = "studies/overconfidence/quick.yaml"
TRAINING = {"hidden_layers": 2, "first_width": 12, "target_loss": 0.3, "target_accuracy": 0.9}
TRAINING |= {"max_steps": 3000, "check_every": 10, "weight_decay_epochs": 50, "root_seed": 1}


@pytest.fixture(scope="module")
def config(root):
    return resolve_file(root, QUICK)[0]


@pytest.fixture(scope="module")
def made(digits, digits_file):
    """A run, what the study says of it, and its weights."""
    one = Run({"batch_size": 50, "learning_rate": 0.1, "weight_decay": 0.0}, 0)
    asked = {**TRAINING, "train_size": 200, "width": 12, "layers": ["fc2"]}
    (outcome,) = run(Job("overconfidence", [one], asked, digits_file, progress=lambda *_: None))
    (solution,) = train([engine_run(one, 200, 12)], digits, Training(**TRAINING), torch.device("cpu"))
    return outcome, dict(zip(weight_names(2, 0), solution.weights, strict=True))


def test_a_run_has_the_numbers_that_the_sweeps_have_of_it(made, digits):
    outcome, weights = made
    row = Analysis(digits, ["fc2"], ["test_to_train"], 10, 1, shuffles=1).network("x", 0, weights, 200)[0][0]
    assert outcome.ended == "converged"
    theirs = {"size": "sigma_w_norm", "size_balanced": "sigma_w_norm_balanced", "sharpness": "sigma_g_norm"}
    for name in ("gap", "top_eigenvalue", "size", "size_balanced", "sharpness", "temperature", "gap_tempered"):
        assert outcome.numbers[name] == pytest.approx(row[theirs.get(name, name)], rel=1e-9), name


def test_the_tempered_gap_is_that_of_a_plain_fit_on_the_other_half(made, digits):
    outcome, weights = made
    model = from_weights({name: array.astype(float) for name, array in weights.items()})
    parts = {"train": digits.train(200), "test": (digits.test_inputs, digits.test_labels)}
    logits = {name: model(torch.from_numpy(x).double()).detach().numpy() for name, (x, _) in parts.items()}

    def losses(part, log_t, where=slice(None)):
        z, y = logits[part][where] / np.exp(log_t), parts[part][1][where]
        return np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), y]

    gaps = []
    for own, other in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        log_t = minimize_scalar(
            lambda t, half=other: losses("test", t, half).mean(), bounds=(-3, 3), method="bounded"
        ).x
        gaps.append(losses("test", log_t, own).mean() - losses("train", log_t).mean())
    assert outcome.numbers["gap_tempered"] == pytest.approx(np.mean(gaps), rel=1e-4)


def test_errors_are_those_of_the_network(made, digits):
    outcome, weights = made
    model = from_weights({name: array.astype(float) for name, array in weights.items()})
    found = model(torch.from_numpy(digits.test_inputs).double()).argmax(1).numpy()
    assert outcome.numbers["test_error"] == pytest.approx(np.mean(found != digits.test_labels))


def test_one_factor_at_a_time_differs_from_the_first_values(config):
    asked = config["overconfidence"]["experiments"]["sweeps"]
    default = {name: asked[name][0] for name in ("batch_size", "learning_rate", "weight_decay")}
    runs = plan(config)["runs"]
    changed = [sum(one["settings"][name] != value for name, value in default.items()) for one in runs]
    assert max(changed) == 1
    assert changed.count(0) == asked["seeds"]
    assert len(runs) == 7 * asked["seeds"]


@pytest.mark.parametrize("change", [{"train_size": 5000}, {"train_size": 60}])
def test_sizes_that_cannot_be_are_told(config, change):
    wrong = {**config, "overconfidence": {**config["overconfidence"], **change}}
    assert not list(problems(config))
    assert len(list(problems(wrong))) == 1
