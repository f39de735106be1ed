"""Learners in a stack against two oracles: loops over modules written from the definitions, and rows one by one."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from awduality.errors import InputError
from awduality.learners import canonical_settings
from awduality.networks import network, weight_shapes
from awduality.runs import Run
from awduality.streams import stream
from awduality.training import multilearner, schemes
from awduality.training.mixing import exchanges
from awduality.training.multilearner import (
    COURSE,
    HISTORY,
    Learners,
    LearnerTraining,
    evaluation_steps,
    initial_row,
    recorded_steps,
    shard_sizes,
    train_learners,
)
from awduality.training.population import OneByOne, arrays_of

CPU = torch.device("cpu")
SHAPES = weight_shapes(64, 10, 12, 2)
TRAINING = LearnerTraining(SHAPES, root_seed=7, train_size=100, target_loss=0.0)
SETTINGS = {
    "algorithm": "dpsgd",
    "mixing": "ring",
    "learners": 4,
    "learning_rate": 0.3,
    "total_batch": 40,
    "noise": 0.0,
    "steps": 60,
}
STAR = {"algorithm": "ssgd_star", "noise": 0.1}
CASES = {
    "ssgd": {"algorithm": "ssgd"},
    "ssgd_star": STAR,
    "full": {"mixing": "full"},
    "ring": {"mixing": "ring"},
    "wide_ring": {"mixing": "wide_ring", "learners": 7},
    "random_ring": {"mixing": "random_ring"},
    "random_pair": {"mixing": "random_pair", "learners": 5},
    "unequal parts": {"total_batch": 10},  # of 3, 3, 2 and 2 samples
    "unequal parts, ssgd_star": {**STAR, "total_batch": 10},
    "batches across epochs": {"total_batch": 33},
    "all samples": {"total_batch": 100},
}
needs_mkl = pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="equal to the bit only with MKL (x86)")


def settings(**changes):
    return canonical_settings({**SETTINGS, **changes})


class Plainly:
    """The definitions as they stand: a module per learner, autograd, float64, one sample index at a time."""

    def __init__(self, settings, seed, split, training):
        self.settings, self.split, self.training = settings, split, training
        self.n, self.rate = settings["learners"], settings["learning_rate"]
        self.module = network(training.shapes).double()
        drawn = schemes.initial_weights(training.shapes.values(), 1.0, training.root_seed, seed)
        start = torch.from_numpy(np.concatenate([layer.ravel() for layer in drawn])).double()
        self.w = [start.clone() for _ in range(self.n)]
        self.x, self.y = (torch.from_numpy(array) for array in split.train(training.train_size))
        orders = schemes.batch_order(training.train_size, training.root_seed, seed)
        samples = settings["steps"] * settings["total_batch"]
        self.order = np.concatenate(list(islice(orders, samples // training.train_size + 1)))
        self.mixings = exchanges(settings["mixing"], self.n, training.root_seed, seed)
        self.noise = stream(training.root_seed, "perturbation", seed)
        self.taken = 0

    @property
    def mean(self):
        return sum(self.w) / self.n

    def gradient(self, weights, index):
        nn.utils.vector_to_parameters(weights, self.module.parameters())
        self.module.zero_grad()
        loss = cross_entropy(self.module(self.x[index].double()), self.y[index])
        loss.backward()
        return loss.item(), torch.cat([p.grad.flatten() for p in self.module.parameters()])

    def step(self):
        """Take a step; what the course records of it."""
        before, size = self.mean, self.settings["total_batch"]
        parts = np.array_split(self.order[self.taken * size : (self.taken + 1) * size], self.n)
        if self.settings["algorithm"] == "dpsgd":
            at, matrix = self.w, next(self.mixings).matrix
            from_ = [sum(matrix[j, i] * self.w[i] for i in range(self.n)) for j in range(self.n)]
        else:
            drawn = self.noise.standard_normal((self.n, len(before)), dtype=np.float32)
            at = [before + self.settings["noise"] * torch.from_numpy(drawn[j]) for j in range(self.n)]
            from_ = [before] * self.n
        gradients = [self.gradient(w, part)[1] for w, part in zip(at, parts, strict=True)]
        mean_gradient = sum(gradients) / self.n
        if self.settings["algorithm"] != "dpsgd":
            gradients = [mean_gradient] * self.n
        spread = sum((w - before).square().sum().item() for w in self.w) / self.n
        loss, g = self.gradient(before, np.arange(len(self.y)))
        self.w = [start - self.rate * gradient for start, gradient in zip(from_, gradients, strict=True)]
        self.taken += 1
        return self.taken, loss, spread, (mean_gradient @ g / (g @ g)).item()


def stacked_rows(settings, seeds, split, training=TRAINING):
    """The weights (R, n, P) of all learners after all steps."""
    learners = Learners(settings, seeds, training, CPU)
    x, y = (torch.from_numpy(array) for array in split.train(training.train_size))
    for _ in range(settings["steps"]):
        learners.step(x, y)
    return learners.weights


def flat(weights):
    return torch.from_numpy(np.concatenate([np.ravel(layer) for layer in weights]))


def distance(one, other):
    return ((one.double() - other.double()).norm() / other.double().norm()).item()


def assert_as_plainly_trained(settings, digits, training=TRAINING, seeds=(0, 2)):
    rows = stacked_rows(settings, seeds, digits, training)
    solutions = train_learners([Run(settings, seed) for seed in seeds], digits, training, CPU)
    for seed, found, solution in zip(seeds, rows, solutions, strict=True):
        plain = Plainly(settings, seed, digits, training)
        course = [row for step in range(settings["steps"]) if (row := plain.step())[0] in recorded_steps(60)]
        assert distance(found, torch.stack(plain.w)) < 1e-5
        assert distance(flat(solution.weights), plain.mean) < 1e-5
        for name, expected in zip(COURSE, np.array(course).T, strict=True):
            assert solution.course[name] == pytest.approx(expected, rel=2e-4, abs=1e-9), name


@pytest.mark.parametrize("case", CASES)
def test_stacked_learners_equal_loops_over_modules_written_from_the_definitions(digits, case):
    assert_as_plainly_trained(settings(**CASES[case]), digits)


def test_stacked_learners_equal_loops_over_modules_by_a_users_matrix(digits):
    matrix = np.array([[0.6, 0.4, 0, 0], [0.3, 0.3, 0.4, 0], [0.1, 0, 0.5, 0.4], [0, 0.3, 0.1, 0.6]])
    assert_as_plainly_trained({**settings(), "mixing": matrix}, digits)


@pytest.mark.parametrize("case", ["ssgd", "ssgd_star", "random_ring", "unequal parts"])
def test_learners_of_convolutional_networks_equal_loops_over_modules(digits, case):
    training = replace(TRAINING, shapes=weight_shapes(64, 10, 8, 1, None, [3, 4]))
    assert_as_plainly_trained(settings(**CASES[case]), digits, training, seeds=(0,))


@pytest.mark.parametrize("case", CASES)
def test_rows_one_by_one_give_what_all_rows_at_once_give(digits, case, monkeypatch):
    runs = [Run(settings(**CASES[case]), seed) for seed in (0, 2)]
    together = train_learners(runs, digits, TRAINING, CPU)
    monkeypatch.setattr(multilearner, "population", lambda shapes: OneByOne(network(shapes)))
    for one, other in zip(train_learners(runs, digits, TRAINING, CPU), together, strict=True):
        assert distance(flat(one.weights), flat(other.weights)) < 1e-5
        for name in HISTORY:  # a sample between two classes may fall to either by rounding
            slack = 1.01 / 100 if name.endswith("accuracy") else 0.0
            assert one.history[name] == pytest.approx(other.history[name], rel=1e-4, abs=slack, nan_ok=True), name
        for name in COURSE:
            assert one.course[name] == pytest.approx(other.course[name], rel=1e-3, abs=1e-9), name


def test_ssgd_is_the_same_for_every_number_of_learners_that_share_a_total_batch(digits):
    shared = settings(algorithm="ssgd")
    one = stacked_rows(shared, [0], digits)
    five = stacked_rows({**shared, "learners": 5}, [0], digits)
    assert distance(five, one.expand_as(five)) < 1e-5


def test_a_single_decentralised_learner_is_sgd(digits):
    asked = settings(learners=1)
    (row,) = stacked_rows(asked, [0], digits)[0]
    module = network(SHAPES)
    nn.utils.vector_to_parameters(initial_row(TRAINING, 0), module.parameters())
    optimiser = torch.optim.SGD(module.parameters(), lr=asked["learning_rate"])
    x, y = (torch.from_numpy(array) for array in digits.train(100))
    order = np.concatenate(list(islice(schemes.batch_order(100, 7, 0), 24)))
    for index in order.reshape(-1, 40)[: asked["steps"]]:
        optimiser.zero_grad()
        cross_entropy(module(x[index]), y[index]).backward()
        optimiser.step()
    assert distance(row, nn.utils.parameters_to_vector(module.parameters()).detach()) < 1e-5


def test_the_effective_rate_of_gradients_of_the_whole_training_set_at_the_mean_is_one(digits):
    (solution,) = train_learners([Run(settings(algorithm="ssgd", total_batch=100), 0)], digits, TRAINING, CPU)
    assert solution.course["effective_rate"] == pytest.approx(np.ones_like(solution.course["step"]), abs=1e-4)


def test_learners_that_start_together_take_one_step_as_if_they_were_one(digits):
    (solution,) = train_learners([Run(settings(total_batch=100), 0)], digits, TRAINING, CPU)
    rates = solution.course["effective_rate"]
    assert rates[0] == pytest.approx(1, abs=1e-4)
    assert np.abs(rates[5:] - 1).min() > 1e-4  # then they have spread


@pytest.mark.parametrize("case", ["ssgd", "ssgd_star"])
def test_synchronous_learners_never_spread_and_decentralised_ones_do(digits, case):
    (solution,) = train_learners([Run(settings(**CASES[case]), 0)], digits, TRAINING, CPU)
    assert solution.course["spread"].max() < 1e-10
    (solution,) = train_learners([Run(settings(), 0)], digits, TRAINING, CPU)
    assert solution.course["spread"][0] < 1e-10  # before the first step
    assert solution.course["spread"][1:].min() > 1e-3


def assert_equal_to_the_bit(one, other):
    assert one.run == other.run
    assert (one.stop_reason, one.step) == (other.stop_reason, other.step)
    assert all(np.array_equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))
    for kind, names in (("history", HISTORY), ("course", COURSE)):
        for name in names:
            found, expected = getattr(one, kind)[name], getattr(other, kind)[name]
            assert np.array_equal(found, expected, equal_nan=True), name


@needs_mkl
@pytest.mark.parametrize("case", CASES)
def test_a_run_alone_and_in_any_place_of_a_stack_is_equal_to_the_bit(digits, case):
    runs = [Run(settings(**CASES[case]), seed) for seed in range(3)]
    together = train_learners(runs, digits, TRAINING, CPU)
    permuted = train_learners([runs[place] for place in (2, 0, 1)], digits, TRAINING, CPU)
    for run, one, other in zip(runs, together, (permuted[1], permuted[2], permuted[0]), strict=True):
        assert_equal_to_the_bit(one, other)
        assert_equal_to_the_bit(train_learners([run], digits, TRAINING, CPU)[0], one)


def test_the_history_is_that_of_the_mean_and_in_the_end_also_of_single_learners(digits):
    asked = settings(steps=240)
    (solution,) = train_learners([Run(asked, 0)], digits, TRAINING, CPU)
    history, rows = solution.history, stacked_rows(asked, [0], digits)[0]

    def measured(row, samples):
        module = network(SHAPES)
        nn.utils.vector_to_parameters(row, module.parameters())
        logits, labels = module(torch.from_numpy(samples[0])), torch.from_numpy(samples[1])
        return cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).double().mean().item()

    mean = flat(solution.weights)
    for part, samples in {"train": digits.train(100), "test": digits.test}.items():
        loss, accuracy = measured(mean, samples)
        assert history[f"{part}_loss"][-1] == pytest.approx(loss, rel=1e-5)
        assert history[f"{part}_accuracy"][-1] == pytest.approx(accuracy)
    single = np.mean([measured(row, digits.test)[1] for row in rows])
    assert history["learner_test_accuracy"][-1] == pytest.approx(single)
    assert np.isnan(history["learner_test_accuracy"]).tolist() == [True] * 50 + [False] * 10
    assert history["step"].tolist() == list(range(4, 241, 4))


def test_the_solution_is_the_mean_at_the_first_evaluation_at_the_target_loss(digits):
    asked, training = settings(steps=240), replace(TRAINING, target_loss=0.3)
    (solution,) = train_learners([Run(asked, 0)], digits, training, CPU)
    losses, steps = solution.history["train_loss"], solution.history["step"]
    first = int(np.argmax(losses <= 0.3))
    assert 0 < first < len(losses) - 1
    assert (solution.stop_reason, solution.step) == ("converged", steps[first])
    until = stacked_rows(settings(steps=solution.step), [0], digits).mean(1)[0]
    assert torch.equal(flat(solution.weights), until)
    (unfinished,) = train_learners([Run(asked, 0)], digits, TRAINING, CPU)
    assert (unfinished.stop_reason, unfinished.step) == ("budget", 240)


def test_runs_of_a_stack_reach_the_target_each_at_its_own_step(digits):
    training, runs = replace(TRAINING, target_loss=0.3), [Run(settings(steps=240), seed) for seed in range(4)]
    solutions = train_learners(runs, digits, training, CPU)
    assert len({solution.step for solution in solutions}) > 1
    for solution in solutions:
        reached = solution.history["train_loss"] <= 0.3
        assert solution.step == solution.history["step"][reached][0]


@pytest.mark.parametrize("algorithm", [{"algorithm": "ssgd"}, STAR, {"mixing": "ring"}, {"mixing": "random_pair"}])
def test_a_run_that_diverges_is_a_solution_that_says_so(digits, algorithm):
    solutions = train_learners(
        [Run(settings(**algorithm, learning_rate=1e30), seed) for seed in (0, 1)], digits, TRAINING, CPU
    )
    for solution in solutions:
        assert solution.stop_reason == "diverged"
        assert solution.step == 60
        assert not np.isfinite(solution.history["train_loss"][-1])


def test_training_leaves_the_processes_arithmetic_as_it_was(digits):
    train_learners([Run(settings(), 0)], digits, TRAINING, CPU)
    assert (torch.tensor([1e-40]) * 0.5).item() > 0


def test_every_evaluation_is_reported_once(digits):
    reports = []
    train_learners([Run(settings(), 0)], digits, TRAINING, CPU, lambda *report: reports.append(report))
    assert [finished for finished, _ in reports] == [1] * 60
    assert reports[-1][1].startswith("step 60 of 60, training loss ")


@pytest.mark.parametrize("steps", [1, 7, 59, 60, 61, 100, 6_000, 12_345])
def test_evaluations_and_recorded_steps_are_within_the_run_and_end_with_it(steps):
    evaluated, recorded = evaluation_steps(steps), sorted(recorded_steps(steps))
    assert len(evaluated) == min(steps, 60)
    assert (evaluated[-1], recorded[0], recorded[-1]) == (steps, 1, steps)
    assert min(evaluated) >= 1
    gaps = np.diff([0, *evaluated])
    assert gaps.max() - gaps.min() <= 1
    assert len(recorded) <= min(steps, 20)


def test_parts_of_a_batch_are_as_equal_as_can_be():
    assert shard_sizes(10, 4) == [3, 3, 2, 2]
    assert shard_sizes(8, 4) == [2] * 4
    assert shard_sizes(5, 1) == [5]


def test_more_learners_than_samples_and_batches_larger_than_the_training_set_are_refused(digits):
    with pytest.raises(InputError, match="a total batch of 3 cannot be shared by 4 learners: each needs a sample"):
        train_learners([Run(settings(total_batch=3), 0)], digits, TRAINING, CPU)
    with pytest.raises(InputError, match="cannot be shared by 0 learners"):
        shard_sizes(3, 0)
    with pytest.raises(InputError, match="a total batch of 101 is larger than the 100 training samples"):
        train_learners([Run(settings(total_batch=101), 0)], digits, TRAINING, CPU)


def test_weights_by_layer_come_from_a_row_and_go_back():
    row = initial_row(TRAINING, 3)
    arrays = arrays_of(row, SHAPES)
    assert {name: array.shape for name, array in arrays.items()} == dict(SHAPES)
    assert torch.equal(flat(arrays.values()), row)
    arrays["fc1"][:] = 0
    assert row.abs().min() > 0  # they are copies
