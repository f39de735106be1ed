"""The reference *tuned*: one network at a time too, but written with care for speed.

The loop is that of *published*, on one thread, so that a core is left for another process; batches are picked out of
one tensor. The geometry uses ``torch.func`` on blocks of rows and treats all pairs at once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.func import grad, jacrev
from torch.nn.functional import cross_entropy

from tests.benchmarks.work import Geometry, Problem

ROWS = 5  # of the Hessian that are computed at once; more of them do not fit into a cache


class Batches:
    """The training samples in batches, in a fresh order every time that they are gone through."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self._problem = problem
        self._generator = torch.Generator().manual_seed(seed)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        x, labels = self._problem.train
        for index in torch.randperm(len(x), generator=self._generator).split(self._problem.batch_size):
            yield x.index_select(0, index), labels.index_select(0, index)


@torch.no_grad()
def analyse(problem: Problem, network: nn.Sequential) -> Geometry:
    """Hessian, pairs, dual weights and decomposition of the second layer."""
    network = copy.deepcopy(network).double()
    x, labels = problem.train[0].double(), problem.train[1]
    x_test, labels_test = problem.test[0].double(), problem.test[1]
    a, a_test = network.relu1(network.fc1(x)), network.relu1(network.fc1(x_test))
    weight = network.fc2.weight.detach()

    partner = partners(x, labels, x_test, labels_test)
    paired = a[partner]
    duals = ((a_test - paired) @ weight.T)[:, :, None] * (paired / paired.square().sum(1, keepdim=True))[:, None]
    outputs = torch.bmm(weight + duals, paired[:, :, None])[:, :, 0]
    after = cross_entropy(network.fc3(network.relu2(outputs)), labels_test, reduction="none")
    before = cross_entropy(network.fc3(network.relu2(paired @ weight.T)), labels_test, reduction="none")
    squared = duals.square().sum((1, 2))
    scalars = torch.where(squared > 0, (after - before) / squared, 0)

    eigenvalues, eigenvectors = torch.linalg.eigh(hessian(network, a, labels))
    w = duals.flatten(1) @ eigenvectors.flip(1)
    g = scalars[:, None] * w
    moments = (g.std(0, correction=0), w.std(0, correction=0), (g * w).mean(0))
    return Geometry(eigenvalues.flip(0).numpy(), *(moment.numpy() for moment in moments))


def hessian(network: nn.Sequential, activities: Tensor, labels: Tensor) -> Tensor:
    """The second layer's Hessian, from its inputs."""

    def loss(weight: Tensor) -> Tensor:
        return cross_entropy(network.fc3(network.relu2(activities @ weight.T)), labels)

    weight = network.fc2.weight.detach()
    return jacrev(grad(loss), chunk_size=ROWS)(weight).reshape(weight.numel(), -1)


def partners(x: Tensor, labels: Tensor, x_test: Tensor, labels_test: Tensor) -> Tensor:
    """The position of the nearest training sample of the same class, for every test sample."""
    nearest = torch.empty_like(labels_test)
    for label in labels_test.unique():
        candidates = (labels == label).nonzero()[:, 0]
        members = labels_test == label
        nearest[members] = candidates[torch.cdist(x_test[members], x[candidates]).argmin(1)]
    return nearest
