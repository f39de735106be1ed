"""SAM's step against autograd's loop and against closed forms; norms that are held; when runs end."""

from itertools import islice

import numpy as np
import pytest
import torch
from torch import nn

from awduality.errors import InputError
from awduality.networks import network
from awduality.training import schemes
from awduality.training.ensemble import Ensemble
from awduality.training.sharpness_aware import SharpnessAwareStep, Stopping, descend, hold_norms
from awduality.training.step import Step

SHAPES = {"fc1": (12, 64), "fc2": (12, 12), "fc3": (10, 12)}
SEEDS = [0, 0, 0, 2, 2]
RHO = [0.0, 0.05, 0.3, 0.1, 0.3]
TIMES = [0.0, 2.0, 0.0, 3.0, 1.0]  # of the initial norm; 0 is free
RATE, BATCH = 0.1, 16
NEVER = Stopping(1e-9, 40, 40)


def initial(seed):
    return [torch.from_numpy(w).double() for w in schemes.initial_weights(SHAPES.values(), 1.0, 7, seed)]


def ensemble_of(runs, dtype=torch.float64, rate=RATE):
    weights = [torch.stack(layer).to(dtype) for layer in zip(*(initial(SEEDS[run]) for run in runs), strict=True)]
    zero = torch.zeros(len(runs), 1, 1, dtype=dtype)
    seeds = sorted({SEEDS[run] for run in runs})
    return Ensemble(weights, [seeds.index(SEEDS[run]) for run in runs], zero + rate, zero, zero, zero)


def norms_of(ensemble, runs):
    times = torch.tensor([TIMES[run] for run in runs], dtype=ensemble.rate.dtype).view(-1, 1, 1)
    return [torch.linalg.vector_norm(w, dim=(1, 2), keepdim=True) * times for w in ensemble.weights]


def samples(digits, dtype=torch.float64, count=100):
    x, y = digits.train(count)
    return torch.from_numpy(x).to(dtype), torch.from_numpy(y)


def descended(digits, runs, stopping=NEVER, dtype=torch.float64, rate=RATE):
    ensemble, (x, y) = ensemble_of(runs, dtype, rate), samples(digits, dtype)
    orders = [schemes.batch_order(len(x), 7, seed) for seed in sorted({SEEDS[run] for run in runs})]
    return descend(ensemble, [RHO[run] for run in runs], norms_of(ensemble, runs), (x, y), orders, BATCH, stopping)


def by_autograd(digits, run, steps):
    """One run as anyone would write it: a module, autograd, ``torch.optim.SGD``, and the norms put back."""
    model = network(SHAPES).double()
    for parameter, matrix in zip(model.parameters(), initial(SEEDS[run]), strict=True):
        parameter.data = matrix * (TIMES[run] or 1.0)
    norms = [parameter.detach().norm() for parameter in model.parameters()]
    optimiser = torch.optim.SGD(model.parameters(), lr=RATE)
    x, y = samples(digits)
    batches = (
        part for order in schemes.batch_order(len(x), 7, SEEDS[run]) for part in torch.from_numpy(order).split(BATCH)
    )
    for batch in islice(batches, steps):
        before = [parameter.detach().clone() for parameter in model.parameters()]
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        length = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).norm()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += RHO[run] * parameter.grad / length
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        with torch.no_grad():
            for parameter, matrix in zip(model.parameters(), before, strict=True):
                parameter.copy_(matrix)
        optimiser.step()
        if TIMES[run]:
            with torch.no_grad():
                for parameter, norm in zip(model.parameters(), norms, strict=True):
                    parameter *= norm / parameter.norm()
    return [parameter.detach().numpy() for parameter in model.parameters()]


def test_a_stack_equals_separate_modules_under_autograd_and_sgd(digits):
    for run, ended in enumerate(descended(digits, range(len(SEEDS)))):
        assert ended.steps == 40  # five full epochs, whose last batches are smaller, and a part of the sixth
        for found, expected in zip(ended.weights, by_autograd(digits, run, 40), strict=True):
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def linear_step(rho, rate=0.2):
    """One step of a softmax regression on one sample of class 0, at weights of zero."""
    x = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    weights, one = torch.zeros(1, 2, 2, dtype=torch.float64), torch.ones(1, 1, 1, dtype=torch.float64)
    ensemble = Ensemble([weights], [0], one * rate, one * 0, one * 0, one * 0)
    targets = torch.tensor([[[1.0], [0.0]]], dtype=torch.float64)
    SharpnessAwareStep(ensemble, one * rho, 1)(x, torch.tensor([[0]]), targets)
    return weights[0].numpy()


def test_a_step_of_softmax_regression_is_that_of_the_closed_form():
    # At w = 0, g = (p − y) xᵀ with p = ½, so g/|g| = (−1, 1)ᵀ/√2 · xᵀ/|x|. Going up by ρ along it makes the logits
    # ∓ρ|x|/√2: the probability of the wrong class is there 1/(1 + exp(−√2 ρ|x|)), and the descent is by that.
    for rho in (0.0, 0.1, 0.5):
        wrong = 1 / (1 + np.exp(-np.sqrt(2) * rho * 5))
        assert linear_step(rho) == pytest.approx(0.2 * wrong * np.outer([1, -1], [3, 4]))


def test_what_the_perturbation_adds_is_a_hessian_times_the_gradients_direction(digits):
    # ∇ℓ(w + ρ g/|g|) − ∇ℓ(w) = ρ H g/|g| + O(ρ²), with the product of the Hessian from autograd.
    rho, (x, y) = 1e-6, samples(digits, count=BATCH)
    ensembles = [ensemble_of([0]) for _ in range(2)]
    targets = nn.functional.one_hot(y, 10).double().T[None].contiguous()
    for ensemble, length in zip(ensembles, (0.0, rho), strict=True):
        perturbed = torch.full((1, 1, 1), length, dtype=torch.float64)
        SharpnessAwareStep(ensemble, perturbed, BATCH)(x, torch.arange(BATCH)[None], targets)
    weights = [w.requires_grad_() for w in initial(SEEDS[0])]

    def loss():
        hidden = torch.relu(torch.relu(x @ weights[0].T) @ weights[1].T)
        return nn.functional.cross_entropy(hidden @ weights[2].T, y)

    gradients = torch.autograd.grad(loss(), weights, create_graph=True)
    length = torch.cat([gradient.flatten() for gradient in gradients]).norm().detach()
    along = [gradient.detach() / length for gradient in gradients]
    curved = torch.autograd.grad(gradients, weights, grad_outputs=along)
    for plain, aware, product in zip(*(ensemble.weights for ensemble in ensembles), curved, strict=True):
        found = (plain[0] - aware[0]).detach().numpy() / (RATE * rho)
        assert found == pytest.approx(product.numpy(), abs=2e-4 * float(product.abs().max()))


def test_without_a_perturbation_a_step_is_the_plain_one_to_the_bit_whatever_its_neighbours_do(digits):
    (x, y), order = samples(digits, torch.float32), torch.stack([torch.arange(BATCH)] * 2)
    targets = nn.functional.one_hot(y[:BATCH], 10).float().T.expand(2, 10, BATCH).contiguous()
    aware, plain = (ensemble_of(range(len(SEEDS)), torch.float32) for _ in range(2))
    SharpnessAwareStep(aware, torch.tensor(RHO).view(-1, 1, 1), BATCH)(x, order, targets)
    Step(plain, BATCH, False, True)(x, order, targets, None)
    for found, expected in zip(aware.weights, plain.weights, strict=True):
        assert torch.equal(found[0], expected[0])
        assert not torch.equal(found[1], expected[1])


def test_where_the_gradient_is_zero_nothing_moves():
    x = torch.zeros(1, 2, dtype=torch.float64)
    weights, one = torch.ones(1, 2, 2, dtype=torch.float64), torch.ones(1, 1, 1, dtype=torch.float64)
    targets = torch.tensor([[[1.0], [0.0]]], dtype=torch.float64)
    SharpnessAwareStep(Ensemble([weights], [0], one, one * 0, one * 0, one * 0), one, 1)(
        x, torch.tensor([[0]]), targets
    )
    assert torch.equal(weights, torch.ones_like(weights))


def test_held_layers_have_their_norm_and_direction_and_free_ones_are_left_to_the_bit():
    weights = ensemble_of(range(3), torch.float32).weights
    before = [w.clone() for w in weights]
    norms = [torch.tensor([0.0, 2.0, 0.5]).view(-1, 1, 1)] * 3
    hold_norms(weights, norms)
    for found, old in zip(weights, before, strict=True):
        assert torch.equal(found[0], old[0])
        assert found[1:].norm(dim=(1, 2)).numpy() == pytest.approx([2.0, 0.5], rel=1e-6)
        directions = [w[1:] / w[1:].norm(dim=(1, 2), keepdim=True) for w in (found, old)]
        assert directions[0].numpy() == pytest.approx(directions[1].numpy(), abs=1e-6)


def test_a_run_does_not_depend_on_the_others(digits):
    stopping = Stopping(1.8, 7, 600)
    together = descended(digits, range(len(SEEDS)), stopping, torch.float32, 0.05)
    assert len({ended.steps for ended in together}) > 2  # the stack was narrowed on the way
    for run, ended in enumerate(together):
        (alone,) = descended(digits, [run], stopping, torch.float32, 0.05)
        assert (alone.reason, alone.steps, alone.loss) == (ended.reason, ended.steps, ended.loss)
        for found, expected in zip(alone.weights, ended.weights, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_runs_end_at_the_first_look_below_the_target_or_by_their_budget(digits):
    for every in (5, 20):
        (ended,) = descended(digits, [3], Stopping(0.5, every, 400))
        assert (ended.reason, ended.steps % every) == ("converged", 0)
        assert ended.loss < 0.5
        (earlier,) = descended(digits, [3], Stopping(0.5, every, ended.steps - every))
        assert (earlier.reason, earlier.steps) == ("budget", ended.steps - every)
        assert earlier.loss >= 0.5
    (last,) = descended(digits, [3], Stopping(1e-9, 20, 33))
    assert last.steps == 33
    assert last.weights[0] == pytest.approx(by_autograd(digits, 3, 33)[0])


def test_runs_that_diverge_say_so_and_leave_the_others_alone(digits):
    ensemble, (x, y) = ensemble_of([0, 1]), samples(digits)
    ensemble.rate[0] = 1e300
    orders = [schemes.batch_order(len(x), 7, 0)]
    with np.errstate(over="ignore", invalid="ignore"):
        found = descend(ensemble, [0.1, 0.05], norms_of(ensemble, [0, 1]), (x, y), orders, BATCH, NEVER)
    assert [ended.reason for ended in found] == ["diverged", "budget"]
    assert found[1].weights[1] == pytest.approx(by_autograd(digits, 1, 40)[1])


@pytest.mark.parametrize("wrong", [-0.1, float("nan")])
def test_what_is_no_length_is_refused(digits, wrong):
    ensemble, (x, y) = ensemble_of([0]), samples(digits)
    free = norms_of(ensemble, [0])
    with pytest.raises(InputError, match="rho: got"):
        descend(ensemble, [wrong], free, (x, y), [], BATCH, NEVER)
    with pytest.raises(InputError, match="norms: got"):
        descend(ensemble, [0.0], [norm + wrong for norm in free], (x, y), [], BATCH, NEVER)
