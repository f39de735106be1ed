"""When runs are looked at: after every epoch, or after so many steps, where a few hard samples decide most looks."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from awduality.training import checks
from awduality.training.checks import Checks, Front
from awduality.training.loop import train
from awduality.training.run import Training
from studies.sweeps.study import expand
from tests.settings import AUTHORS
from tests.unit.training.test_training import assert_equal_to_the_bit, needs_mkl

CPU = torch.device("cpu")
DEFAULTS = {**AUTHORS, "batch_size": 10, "train_size": 500, "width": 12}
TRAINING = Training(
    hidden_layers=2,
    root_seed=7,
    target_loss=0.3,
    target_accuracy=0.5,
    max_steps=3_000,
    weight_decay_epochs=4,
    check_every=7,
)
KINDS = {"fully connected": TRAINING, "convolutional": replace(TRAINING, hidden_layers=1, convolutions=[4, 5])}


@pytest.fixture(autouse=True)
def small_front(monkeypatch):
    monkeypatch.setattr(checks, "_FRONT", 20)  # of 500 samples, as 400 of thousands


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_ends_at_the_first_check_at_which_its_loss_is_below_the_target(digits, kind):
    training = KINDS[kind]
    (solution,) = train(list(expand(DEFAULTS, "baseline", [], [0])), digits, training, CPU)
    assert solution.stop_reason == "converged"
    assert solution.steps % 7 == 0
    assert solution.steps % 50  # in the middle of an epoch
    for steps in (solution.steps - 7, solution.steps):  # trained again, by a budget of so many steps
        limits = {"target_loss": 1e-9, "max_steps": steps}
        (there,) = train(list(expand(DEFAULTS, "baseline", [], [0])), digits, replace(training, **limits), CPU)
        assert (there.stop_reason, there.steps) == ("budget", steps)
        assert (there.history["train_loss"][-1] < 0.3) == (steps == solution.steps)
    assert all(np.array_equal(a, b) for a, b in zip(solution.weights, there.weights, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_hard_samples_decide_nothing_that_all_samples_would_not(digits, kind, monkeypatch):
    runs = list(expand(DEFAULTS, "learning_rate", [0.1, 0.3], [0, 1]))
    looked = train(runs, digits, KINDS[kind], CPU)
    excluded = []
    monkeypatch.setattr(Front, "excludes", lambda *_: excluded.append(0) or False)  # every look is at all samples
    for one, other in zip(looked, train(runs, digits, KINDS[kind], CPU), strict=True):
        assert_equal_to_the_bit(one, other)
    assert excluded


def test_most_looks_are_at_the_hard_samples_only(digits, monkeypatch):
    excludes, found = Front.excludes, []

    def noted(self, losses):
        found.append(excludes(self, losses))
        return found[-1]

    monkeypatch.setattr(Front, "excludes", noted)
    train(list(expand(DEFAULTS, "baseline", [], [0])), digits, replace(TRAINING, target_loss=0.003), CPU)
    assert len(found) > 100
    assert np.mean(found) > 0.5


@needs_mkl
def test_a_run_looked_at_by_steps_does_not_depend_on_its_neighbours(digits):
    runs = [*expand(DEFAULTS, "learning_rate", [0.05, 0.1, 0.3], [0, 1]), *expand(DEFAULTS, "dropout", [0.2], [0])]
    together = train(runs, digits, TRAINING, CPU)
    assert len({solution.steps for solution in together}) > 3
    for wide in (False, True):
        for run, solution in zip(runs, train(runs, digits, TRAINING, CPU, wide=wide), strict=True):
            assert_equal_to_the_bit(train([run], digits, TRAINING, CPU)[0], solution)


def test_runs_of_every_training_size_stop_at_the_same_loss(digits):
    runs = list(expand({**DEFAULTS, "batch_size": 5}, "train_size", [100, 400, 1200], range(4)))
    overshoot = {}
    for every in (None, 4):
        solutions = train(runs, digits, replace(TRAINING, check_every=every), CPU)
        lost = [np.log(solution.history["train_loss"][-1] / TRAINING.target_loss) for solution in solutions]
        overshoot[every] = np.mean(np.reshape(lost, (3, 4)), axis=1)
    assert np.ptp(overshoot[4]) < 0.5 * np.ptp(overshoot[None])
    assert np.all(np.abs(overshoot[4]) < 0.1)


def test_a_run_that_diverges_ends_at_the_next_check(digits):
    (solution,) = train(list(expand(DEFAULTS, "learning_rate", [1e30], [0])), digits, TRAINING, CPU)
    assert (solution.stop_reason, solution.steps) == ("diverged", 7)


@given(st.integers(1, 60), st.integers(1, 400))
def test_the_history_is_written_at_the_first_check_and_ever_less_often(every, looks):
    steps = Checks(replace(TRAINING, check_every=every, max_steps=10**6), steps_per_epoch=13)
    due = [step for step in range(1, every * looks + 1) if steps.due(step)]
    assert due == list(range(every, every * looks + 1, every))
    written = [step for step in due if steps.writes(step)]
    assert written[0] == every
    assert all(later >= 1.05 * earlier for earlier, later in itertools.pairwise(written))
    assert len(written) <= 21 + np.log(looks) / np.log(1.05)


def test_by_default_runs_are_looked_at_and_written_after_every_epoch():
    epochs = Checks(replace(TRAINING, check_every=None), steps_per_epoch=13)
    assert [step for step in range(1, 50) if epochs.due(step) and epochs.writes(step)] == [13, 26, 39]


LOSSES = st.lists(st.lists(st.floats(0, 10, width=32), min_size=50, max_size=50), min_size=1, max_size=3)


@given(LOSSES, LOSSES, st.floats(1e-3, 5))
def test_the_front_excludes_only_runs_above_the_target(before, now, target):
    count = min(len(before), len(now))
    front = Front(target, 50)
    front.renew(torch.tensor(before[:count]))
    assert len(front.index) == 20
    assert len(set(front.index.tolist())) == 20
    losses = torch.tensor(now[:count]).double()
    if front.excludes(losses[:, front.index].mean(1)):
        assert (losses.mean(1) >= target).all()


def test_the_front_are_the_samples_of_largest_loss_and_what_is_no_number_excludes_nothing():
    front = Front(1.0, 100)
    front.renew(torch.arange(100.0)[None])
    assert sorted(front.index.tolist()) == list(range(80, 100))
    assert front.excludes(torch.tensor([6.0]))  # 20 samples of 6 nats among 100: the mean is at least 1.2
    assert not front.excludes(torch.tensor([4.0]))
    assert not front.excludes(torch.tensor([6.0, float("nan")]))
