"""Lanczos iteration with full re-orthogonalisation: the largest eigenvalues of a matrix that is known by its products.

Block Lanczos iteration with thick restart (Wu & Simon 2000): the basis grows by a block of vectors per product, and
when it is full, the best Ritz vectors stay. Every block is orthogonalised twice against the whole basis, so that no
ghost copies of eigenvalues appear. Blocks, since products with several vectors are matrix products, and since a single
vector sees an eigenvalue once, whatever its multiplicity. The vectors never leave the operator's device.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from awduality.curvature.spectrum import Spectrum
from awduality.errors import InputError

RESIDUAL = 1e-13  # |H v − λ v| at which a pair has converged, relative to the largest |λ|
_BLOCK = 4  # vectors per product
_SPARE = 20  # the basis holds 2·top + _SPARE vectors
_RESTARTS = 500
NEGLIGIBLE = 1e-14  # what is left of a product counts as rounding below this length, relative to the largest |λ|
_ROWS = 2**16  # of the basis that are rotated at once


class Operator(Protocol):
    """A symmetric (M, M) matrix that can be multiplied with vectors; a tensor is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(M, M)."""

    @property
    def device(self) -> torch.device:
        """Where the vectors live."""

    def __matmul__(self, vectors: Tensor, /) -> Tensor:
        """H V for V (M, k), a vector per column."""


def top_eigenpairs(operator: Operator, top: int) -> Spectrum:
    """The ``top`` largest eigenvalues and their eigenvectors.

    The start is fixed: the same input gives the same result. When all pairs have converged, the iteration goes on from
    new vectors, until these find nothing larger: no copy of a multiple eigenvalue is missed.

    Memory: 3·top + 20 vectors.

    Args:
        operator: a symmetric (M, M) matrix, by its products.
        top: number of pairs, from 1 to M − 1.

    Returns:
        Eigenpairs with residuals of about 1e-13 of the largest |λ|.

    Raises:
        InputError: ``top`` is out of range, or the iteration does not converge.
    """
    size, device = operator.shape[0], operator.device
    if not 1 <= top < size:
        raise InputError(f"top must be between 1 and {size - 1}, one less than the layer's weights: got {top}")
    most = min(2 * top + _SPARE, size)
    basis = torch.empty(most, size, dtype=torch.float64, device=device).T
    projected = torch.zeros(most, most, dtype=torch.float64, device=device)  # basisᵀ H basis, its lower triangle
    used, drawn, scale = 0, 0, torch.zeros((), dtype=torch.float64, device=device)
    block, seen = _new_vectors(basis[:, :0], min(_BLOCK, most), drawn), None
    for _ in range(_RESTARTS):
        while 0 < block.shape[1] <= most - used:
            first, used, drawn = used, used + block.shape[1], drawn + _BLOCK
            basis[:, first:used] = block
            product = operator @ block
            scale = torch.maximum(scale, torch.linalg.vector_norm(product, dim=0).max())
            if first == 0 and not scale:  # a matrix of zeros, as far as can be seen
                return Spectrum(scale.new_zeros(top), torch.eye(size, top, dtype=torch.float64, device=device))
            along, block, coupling = orthogonalised(product, basis[:, :used], NEGLIGIBLE * scale, drawn)
            projected[first:used, :used] = along.T
        values, rotation = (tensor.flip(-1) for tensor in torch.linalg.eigh(projected[:used, :used]))
        residuals = torch.linalg.vector_norm(coupling @ rotation[first:used], dim=0)
        converged = residuals[:top] <= RESIDUAL * values.abs().max()
        done = bool(converged.all())
        if done and (used == size or (seen is not None and bool((values[:top] - seen <= RESIDUAL * scale).all()))):
            return Spectrum(values[:top], basis[:, :used] @ rotation[:, :top])
        kept = top if done else top + (used - top) // 3
        for rows in basis.split(_ROWS):
            rows[:, :kept] = rows[:, :used] @ rotation[:, :kept]
        projected.zero_().diagonal()[:kept] = values[:kept]
        used = kept
        if done:
            seen, block = values[:top], _new_vectors(basis[:, :used], min(_BLOCK, most - used), drawn)
    raise InputError(
        f"of the {top} largest eigenvalues only {int(converged.sum())} converged in {_RESTARTS} restarts, since they "
        "do not separate from the others: ask for fewer"
    )


def orthogonalised(product: Tensor, basis: Tensor, negligible: Tensor, drawn: int) -> tuple[Tensor, Tensor, Tensor]:
    """Split H Q, (M, b), into its part along a basis (M, j) and a new orthonormal block, orthogonal to that basis.

    H Q = basis·along + block·coupling. What is left of the product in an invariant subspace is rounding: new vectors
    take its place, with a coupling of zero.

    Args:
        product: H Q.
        basis: orthonormal columns.
        negligible: the length below which the rest is rounding.
        drawn: how many new vectors there have been.

    Returns:
        ``along`` (j, b), ``block`` (M, b′) and ``coupling`` (b′, b); b′ ≤ b, less only where the basis fills the space.
    """
    along = basis.T @ product
    width = min(product.shape[1], basis.shape[0] - basis.shape[1])
    q, triangle = torch.linalg.qr(product - basis @ along)
    left, sizes, right = torch.linalg.svd(triangle)
    block, sizes, right = q @ left[:, :width], sizes[:width], right[:width]
    rounding = sizes <= negligible
    if bool(rounding.any()):
        sizes = sizes.masked_fill(rounding, 0.0)
        block[:, rounding] = _new_vectors(basis, width, drawn)[:, rounding]
    again = basis.T @ block
    rest = sizes[:, None] * right
    block, triangle = torch.linalg.qr(block - basis @ again)
    return along + again @ rest, block, triangle @ rest


def _new_vectors(basis: Tensor, count: int, drawn: int) -> Tensor:
    """Orthonormal vectors orthogonal to a basis (M, j), (M, count); fixed, but of no structure."""
    place = torch.arange(len(basis), dtype=torch.float64, device=basis.device)
    chirps = [torch.cos((2**0.5 + drawn + column) * place.square()) for column in range(count)]
    vectors = torch.stack(chirps, dim=1)
    for _ in range(2):
        vectors = torch.linalg.qr(vectors - basis @ (basis.T @ vectors)).Q
    return vectors
