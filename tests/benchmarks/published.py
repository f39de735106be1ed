"""The reference *published*: one network at a time, written as a demonstration would be.

An ``nn.Module``, a ``DataLoader``, ``torch.optim.SGD``, in float32; then, in float64, the Hessian by one backward pass
per row and a loop over the pairs, each of whose dual weights are put into a copy of the network to get the finite
difference of the loss.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from tests.benchmarks.work import Geometry, Problem

ACCURACY_EPOCHS = 9

Batches = Iterable[tuple[Tensor, Tensor]]


def initial_network(problem: Problem, seed: int) -> nn.Sequential:
    """The network of a run, with torch's default initialisation, scaled."""
    torch.manual_seed(seed)
    width = problem.width
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        fc1=nn.Linear(problem.train[0].shape[1], width, bias=False),
        relu1=nn.ReLU(),
        fc2=nn.Linear(width, width, bias=False),
        relu2=nn.ReLU(),
        fc3=nn.Linear(width, int(problem.train[1].max()) + 1, bias=False),
    )
    if problem.dropout > 0:
        layers["relu1"] = nn.Sequential(nn.ReLU(), nn.Dropout(problem.dropout))
    network = nn.Sequential(layers)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(problem.init_scale)
    return network


def batches(problem: Problem, seed: int) -> Batches:
    """The training samples in batches, in a fresh order every time that they are gone through."""
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(TensorDataset(*problem.train), problem.batch_size, shuffle=True, generator=generator)


def train(problem: Problem, network: nn.Sequential, batches: Batches) -> int:
    """Train ``network`` in place until the stopping rule holds; returns the number of epochs."""
    optimizer = torch.optim.SGD(network.parameters(), lr=problem.learning_rate)
    accuracies: list[float] = []
    for epoch in range(1, problem.max_epochs + 1):
        network.train()
        for inputs, labels in batches:
            optimizer.zero_grad()
            loss = cross_entropy(network(inputs), labels)
            if problem.weight_decay > 0 and epoch <= problem.weight_decay_epochs:
                squares = sum((weight**2).sum() for weight in network.parameters())
                loss = loss + problem.weight_decay * torch.sqrt(squares)
            loss.backward()
            optimizer.step()
        network.eval()
        train_loss, accuracy = evaluate(network, problem.train)
        evaluate(network, problem.test)
        accuracies.append(accuracy)
        if train_loss < problem.target_loss and np.mean(accuracies[-ACCURACY_EPOCHS:]) > problem.target_accuracy:
            return epoch
    return problem.max_epochs


@torch.no_grad()
def evaluate(network: nn.Module, samples: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """Mean loss and accuracy."""
    inputs, labels = samples
    output = network(inputs)
    return float(cross_entropy(output, labels)), float((output.argmax(1) == labels).float().mean())


def analyse(problem: Problem, network: nn.Sequential) -> Geometry:
    """Hessian, pairs, dual weights and decomposition of the second layer."""
    network = copy.deepcopy(network).double()
    x, labels = problem.train[0].double(), problem.train[1]
    eigenvalues, eigenvectors = np.linalg.eigh(hessian(network, x, labels).numpy())
    of_class = {int(label): x[labels == label] for label in labels.unique()}
    weight = network.fc2.weight.detach()
    duals, scalars = [], []
    with torch.no_grad():
        for sample, label in zip(problem.test[0].double(), problem.test[1], strict=True):
            candidates = of_class[int(label)]
            partner = candidates[(candidates - sample).square().sum(1).argmin()]
            a, a_test = network.relu1(network.fc1(partner)), network.relu1(network.fc1(sample))
            dual = torch.outer(weight @ (a_test - a), a) / a.square().sum()
            changed = copy.deepcopy(network)
            changed.fc2.weight.add_(dual)
            difference = cross_entropy(changed(partner), label) - cross_entropy(network(partner), label)
            squared = dual.square().sum()
            duals.append(dual.flatten())
            scalars.append(difference / squared if squared > 0 else difference)
    w = torch.stack(duals).numpy() @ eigenvectors[:, ::-1]
    g = torch.stack(scalars).numpy()[:, None] * w
    return Geometry(eigenvalues[::-1], g.std(0), w.std(0), (g * w).mean(0))


def hessian(network: nn.Sequential, inputs: Tensor, labels: Tensor) -> Tensor:
    """The second layer's Hessian, one backward pass per row."""
    weight = network.fc2.weight
    loss = cross_entropy(network(inputs), labels)
    (gradient,) = torch.autograd.grad(loss, weight, create_graph=True)
    rows = [torch.autograd.grad(entry, weight, retain_graph=True)[0].flatten() for entry in gradient.flatten()]
    return torch.stack(rows)
