"""Products of stacks, whatever way they are divided."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from awduality.training.products import layer_product, product
from awduality.training.replay import replayed


@given(
    runs=st.integers(1, 4),
    samples=st.integers(1, 130),
    outputs=st.integers(1, 40),
    features=st.integers(1, 70),
    shared=st.booleans(),
)
def test_a_layers_product_is_the_same_however_many_samples_are_taken_at_once(runs, samples, outputs, features, shared):
    generator = torch.Generator().manual_seed(samples)
    weights = torch.randn(runs, outputs, features, generator=generator)
    inputs = torch.randn(1 if shared else runs, samples, features, generator=generator)
    out = torch.full((runs, outputs, samples), torch.nan)
    for call in layer_product(weights, inputs, out):
        call()
    expected = weights.double() @ inputs.double().mT
    assert torch.allclose(out.double(), expected, rtol=1e-4, atol=1e-4)


def test_many_samples_are_divided_into_small_products_of_nearly_equal_size(monkeypatch):
    sizes = []
    monkeypatch.setattr(
        "awduality.training.products.product", lambda left, right, out: sizes.append(tuple(out.shape)) or (lambda: None)
    )
    layer_product(torch.empty(2, 30, 784), torch.empty(1, 100, 784), torch.empty(2, 30, 100))
    assert sizes == [(2, 2, 30, 34), (2, 30, 32)]


def test_a_call_sees_what_its_tensors_hold_when_it_is_made():
    left, right, out = torch.eye(2), torch.ones(2, 2), torch.empty(2, 2)
    call = product(left, right, out)
    left.mul_(3)
    call()
    assert (out == 3).all()


@pytest.mark.parametrize("times", [1, 3])
def test_replaying_makes_every_call_in_order(times):
    made = []
    replay = replayed([lambda: made.append("a"), lambda: made.append("b")], [torch.zeros(1)])
    for _ in range(times):
        replay()
    assert made == ["a", "b"] * times
