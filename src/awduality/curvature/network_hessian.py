"""The Hessian of the mean loss with respect to all parameters of a network, exact or as products with vectors.

H = G + R with the Gauss–Newton part G = (1/N) Σ_i J_iᵀ S_i J_i, S_i = ∂²ℓ_i/∂z_i² at the outputs z_i, and the residual
part R = (1/N) Σ_i Σ_c (∂ℓ_i/∂z_ic) ∂²z_ic. For the cross-entropy S = diag p − p pᵀ has rank k − 1, so that G has rank
N(k − 1) at most. Parameters stand one after the other, each row-major, in the order of ``model.named_parameters()``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call, hessian, jacrev, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from awduality.copies import precise
from awduality.criteria import as_loss, weights_of
from awduality.errors import InputError
from awduality.losses import PerSampleLoss, checked_losses
from awduality.nested import described
from awduality.samples import Brought, gathered
from awduality.suitable import check_network

MOST_PARAMETERS = 12_000  # a dense Hessian of 1.1 GiB
_COLUMNS = 16  # products at once
_BYTES = 2**26  # of Jacobians that are held at once


class NetworkHessian:
    """H of a whole network: an operator for ``awduality.curvature.lanczos`` and ``density``, or the dense matrix.

    Args:
        model: any network in eval mode whose loss can be differentiated twice; the work is done on a float64 copy.
        train: inputs (N, …) and targets (N, …): arrays of any kind, a ``Dataset`` or a ``DataLoader``; one input.
        loss: a name from ``awduality.losses.LOSSES``, a loss of ``torch.nn`` with ``reduction="none"``, or a function
            (outputs, targets) -> losses of shape (N,).

    Raises:
        InputError: the network is in train mode, has no parameters or such that are not finite; no samples, or inputs
            and targets of different number; a loss that is not one per sample.
    """

    def __init__(
        self, model: nn.Module, train: Brought, loss: str | PerSampleLoss | nn.Module = "cross_entropy"
    ) -> None:
        self._model = _checked(model)
        parameters = dict(self._model.named_parameters())
        self._shapes = {name: parameter.shape for name, parameter in parameters.items()}
        self._sizes = [parameter.numel() for parameter in parameters.values()]
        self.parameters = torch.cat([parameter.detach().flatten() for parameter in parameters.values()])  # (M,)
        self.device = self.parameters.device
        self.shape = (len(self.parameters), len(self.parameters))
        self._inputs, self._targets = _samples(train, self.device)
        self._loss = as_loss(loss, self.device)
        if weights_of(self._loss, self._targets) is not None:
            raise InputError("the Hessian of a whole network is that of a plain mean, but the loss weighs samples")
        with torch.no_grad():
            losses = checked_losses(self._loss, self._outputs(self._inputs), self._targets)
        self.loss = float(losses.mean())  # the mean loss itself

    def __len__(self) -> int:
        return len(self._inputs)

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """H V for V (M, k), a vector per column, at about the time of four forward passes for each.

        By a backward pass through the gradient, whose graph is kept.
        """
        place, gradient = self._graph
        (found,) = torch.autograd.grad(
            gradient, place, vectors.T, retain_graph=True, is_grads_batched=True, materialize_grads=True
        )
        return found.T

    @property
    def gradient(self) -> Tensor:
        """The gradient of the mean loss, (M,)."""
        return self._graph[1].detach()

    @cached_property
    def _graph(self) -> tuple[Tensor, Tensor]:
        """The parameters, and the gradient as a function of them."""
        place = self.parameters.clone().requires_grad_(True)
        with torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            (gradient,) = torch.autograd.grad(self._mean_loss(place), place, create_graph=True)
        if not gradient.requires_grad:  # a network and a loss that are linear
            gradient = gradient + 0 * place.sum()
        return place, gradient

    def block(self, name: str) -> slice:
        """Where the parameter of this name stands among all of them."""
        if name not in self._shapes:
            raise InputError(f"no parameter {name!r}: this network has {list(self._shapes)}")
        ends = [0, *torch.tensor(self._sizes).cumsum(0).tolist()]
        return dict(zip(self._shapes, (slice(*ends) for ends in pairwise(ends)), strict=True))[name]

    def dense(self) -> Tensor:
        """H, (M, M), symmetric to the bit, by its columns.

        Raises:
            InputError: the network has more than 12,000 parameters, so that the matrix would not fit into memory.
        """
        found = self._empty()
        for columns in torch.arange(len(found), device=self.device).split(_COLUMNS):
            units = found.new_zeros(len(found), len(columns))
            units[columns, torch.arange(len(columns), device=self.device)] = 1.0
            found[:, columns] = self @ units
        return _symmetrised(found)

    def gauss_newton(self, samples: int | None = None) -> Tensor:
        """G, (M, M), symmetric to the bit, of all samples or of the first of them.

        Raises:
            InputError: the network has more than 12,000 parameters.
        """
        count = len(self) if samples is None else samples
        found = self._empty().zero_()
        for part, jacobians in self._jacobians(count):
            targets = self._targets[part]
            curvatures = vmap(hessian(self._one_loss))(self._outputs(self._inputs[part]), targets)
            found.addmm_(jacobians.flatten(0, 1).T, (curvatures @ jacobians).flatten(0, 1))
        return _symmetrised(found.div_(count))

    def softmax_factors(self) -> Iterator[tuple[slice, Tensor]]:
        """v_ic = √p_ic (J_ic − Σ_c′ p_ic′ J_ic′), (samples, k, M), part by part, for the softmax of the outputs.

        Of the cross-entropy, G = (1/N) Σ_ic v_ic v_icᵀ is their second moment, since diag p − p pᵀ = B Bᵀ with
        B = diag √p − p √pᵀ.
        """
        for part, jacobians in self._jacobians(len(self)):
            chances = torch.softmax(self._outputs(self._inputs[part]), dim=1)[..., None]
            yield part, chances.sqrt() * (jacobians - (chances * jacobians).sum(1, keepdim=True))

    def _outputs(self, inputs: Tensor, parameters: Tensor | None = None) -> Tensor:
        flat = self.parameters if parameters is None else parameters
        parts = zip(self._shapes.items(), flat.split(self._sizes), strict=True)
        found: Tensor = functional_call(self._model, {name: part.view(shape) for (name, shape), part in parts}, inputs)
        return found

    def _mean_loss(self, parameters: Tensor) -> Tensor:
        return self._loss(self._outputs(self._inputs, parameters), self._targets).mean()

    def _one_loss(self, output: Tensor, target: Tensor) -> Tensor:
        return self._loss(output[None], target[None])[0]

    def _jacobians(self, count: int) -> Iterator[tuple[slice, Tensor]]:
        """∂z_i/∂parameters of some samples, (samples, k, M), part by part; z_i a vector."""
        outputs = self._outputs(self._inputs[:1])
        if outputs.ndim != 2:
            raise InputError(f"wanted a vector of outputs per sample: got outputs of shape {tuple(outputs.shape)}")
        step = max(1, _BYTES // (8 * outputs.shape[1] * len(self.parameters)))

        def single(parameters: Tensor, one: Tensor) -> Tensor:
            return self._outputs(one[None], parameters)[0]

        for first in range(0, count, step):
            part = slice(first, min(first + step, count))
            yield part, vmap(jacrev(single), in_dims=(None, 0))(self.parameters, self._inputs[part])

    def _empty(self) -> Tensor:
        if (size := len(self.parameters)) > MOST_PARAMETERS:
            raise InputError(
                f"the network has {size:,} parameters, whose Hessian would take {8 * size**2 / 2**30:.1f} GiB: the "
                f"dense matrix can be had of up to {MOST_PARAMETERS:,}; use the operator with "
                "awduality.curvature.lanczos.top_eigenpairs or awduality.curvature.density.spectral_density"
            )
        return self.parameters.new_empty(size, size)


def _symmetrised(matrix: Tensor) -> Tensor:
    return (matrix + matrix.T).div_(2)


def _checked(model: nn.Module) -> nn.Module:
    """A float64 copy."""
    check_network(model)
    found = precise(model).requires_grad_(True)
    if not any(True for _ in found.parameters()):
        raise InputError("the network has no parameters, so it has no Hessian")
    return found


def _samples(train: Brought, device: torch.device) -> tuple[Tensor, Tensor]:
    inputs, targets = gathered(train, "train")
    if not torch.is_tensor(inputs):
        raise InputError(f"the Hessian of a whole network takes one input: got {described(inputs)}")
    return inputs.double().to(device), targets.to(device)
