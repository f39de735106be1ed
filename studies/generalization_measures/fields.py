"""Where no estimate can be good: linear functions over a finite field, and parities.

Gastpar et al. (2023), Theorems 4 and 5, and Gastpar et al. (2025), arXiv 2410.01969; the closed forms are ours. The
learner sees m samples ⟨a, x⟩ of a truth a in F_q^d. What a hypothesis that agrees with all of them errs by is either 0,
where it is the truth, or 1 − 1/q.
"""

from __future__ import annotations

import numpy as np

from awduality.errors import InputError

DIMENSION, PREFERRED = 40, 10  # d of the fields, and n: the samples, and the dimension of the family H₀
PARITIES = 20  # d of the parities

Numbers = dict[str, float]


def reduced(matrices: np.ndarray, columns: int, q: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Jordan elimination modulo a prime, of many matrices at once.

    Args:
        matrices: (T, m, k) integers in 0 … q − 1.
        columns: how many of the k columns are eliminated, from the left.
        q: a prime.

    Returns:
        The reduced matrices, and (T,) the rank of their first columns.

    Raises:
        InputError: q is no prime.
    """
    if q < 2 or any(q % factor == 0 for factor in range(2, int(q**0.5) + 1)):
        raise InputError(f"the order of the field: got {q}, wanted a prime, since only then numbers have inverses")
    inverses = np.array([0, *(pow(value, -1, q) for value in range(1, q))])
    found = matrices.astype(np.int16) % q
    trials, rows, _ = found.shape
    every, rank = np.arange(trials), np.zeros(trials, dtype=int)
    for column in range(columns):
        usable = (found[:, :, column] != 0) & (np.arange(rows) >= rank[:, None])
        has = usable.any(1)
        pivot, place = usable.argmax(1), np.minimum(rank, rows - 1)
        swapped = found[every, pivot].copy()
        found[every[has], pivot[has]] = found[every, place][has]
        row = swapped * inverses[swapped[:, column]][:, None] % q
        found[every[has], place[has]] = row[has]
        factors = found[:, :, column].copy()
        factors[every, place] = 0
        factors[~has] = 0
        found = (found - factors[:, :, None] * row[:, None, :]) % q
        rank += has
    return found, rank


def rank_law(rows: int, columns: int, q: int) -> np.ndarray:
    """(columns + 1,) the probability of every rank of a uniformly random matrix over F_q, row by row."""
    law = np.zeros(columns + 1)
    law[0] = 1.0
    for _ in range(rows):
        inside = q ** (np.arange(columns + 1) - float(columns))  # that a further row lies in the span of the others
        law = law * inside + np.concatenate([[0.0], (law * (1 - inside))[:-1]])
    return law


def invertible(n: int, q: int) -> float:
    """Π_{i≤n} (1 − q^−i), the probability that an n × n matrix over F_q has an inverse."""
    return float(np.prod(1 - float(q) ** -np.arange(1, n + 1)))


def recovery(m: int, d: int) -> tuple[float, float]:
    """What m samples of a parity of d bits allow, for a learner that chooses uniformly among what agrees with them.

    Returns:
        The probability that it finds the truth, Σ_k P(deficit k) 2^−k; and the least probability that an estimate of
        its error, 0 or ½, misses by ¼ or more: Σ_{k ≥ 1} P(deficit k) 2^−k, as the estimate can only say ½ there.
    """
    chances = rank_law(m, d, 2)[::-1] * 2.0 ** -np.arange(d + 1)
    return float(chances.sum()), float(chances[1:].sum())


def z_score(count: float, trials: int, chance: float) -> float:
    """How many standard deviations a binomial count is from its mean; with no deviation, 0 if it is the mean."""
    spread = (trials * chance * (1 - chance)) ** 0.5
    return (count - trials * chance) / spread if spread > 1e-9 else float(round(count) != round(trials * chance))


def on_field(q: int, trials: int, generator: np.random.Generator) -> Numbers:
    """A learner that prefers H₀ = span(e₁ … e_n), n samples, and a truth from H₀ or from anywhere, each as likely.

    Where the samples' first n coordinates have an inverse, one hypothesis of H₀ agrees with them whatever the truth: it
    is right if the truth is in H₀, and no function of samples and hypothesis can tell. So no estimate has a smaller
    root mean square error than (1 − 1/q)/2, given an inverse.

    Returns:
        How often there is an inverse, the law's z-score of that and of the truth's being found; and the root mean
        square errors of estimates, given an inverse: the ``constant`` (1 − 1/q)/2, the training error, 0, the error of
        leaving out each sample in turn, and the hypothesis' share of coefficients that are not zero.
    """
    n, d = PREFERRED, DIMENSION
    samples = generator.integers(0, q, (trials, n, d))
    inside = generator.random(trials) < 0.5
    truth = generator.integers(0, q, (trials, d))
    truth[inside, n:] = 0
    labels = np.einsum("tnd,td->tn", samples, truth) % q
    units = np.broadcast_to(np.eye(n, dtype=int), (trials, n, n))
    solved, rank = reduced(np.concatenate([samples[:, :, :n], labels[:, :, None], units], axis=2), n, q)
    good = rank == n
    hypothesis, inverse = solved[good, :, n], solved[good, :, n + 1 :]
    right = (hypothesis == truth[good, :n]).all(1) & ~truth[good, n:].any(1)
    error = np.where(right, 0.0, 1 - 1 / q)
    # Without sample i, what agrees is h + t v, v column i of the inverse; the rule takes the one that is zero at v's
    # last coordinate that is not, and is right on sample i if that is h itself.
    last = n - 1 - (inverse[:, ::-1, :] != 0).argmax(1)
    left_out = (np.take_along_axis(hypothesis, last, 1) != 0).mean(1)
    estimates = {
        "constant": np.full(len(error), (1 - 1 / q) / 2),
        "training": np.zeros(len(error)),
        "left_out": left_out,
        "weight": (hypothesis != 0).mean(1),
    }
    chance = 0.5 + 0.5 * float(q) ** -(d - n)  # a truth from anywhere may lie in H₀, too
    return {
        "chance": good.mean(),
        "theory_chance": invertible(n, q),
        "floor": (1 - 1 / q) / 2,
        **{f"rmse_{name}": float(np.sqrt(np.mean((one - error) ** 2))) for name, one in estimates.items()},
        "z_chance": z_score(int(good.sum()), trials, invertible(n, q)),
        "z_floor": z_score(int(right.sum()), int(good.sum()), chance),
    }


def on_parities(surplus: int, trials: int, generator: np.random.Generator) -> Numbers:
    """A learner of parities of d bits from d + ``surplus`` samples, uniform among what agrees with them.

    Returns:
        How often it finds the truth, and how often estimates of its error miss by ¼ or more: one that says 0 where the
        rank is full and else ½, which is the best, and the training error, 0; both with the closed form's z-score.
    """
    d = PARITIES
    samples = generator.integers(0, 2, (trials, d + surplus, d), dtype=np.int8)
    _, rank = reduced(samples, d, 2)
    deficit = d - rank
    found = (generator.integers(0, 2, (trials, d)) & (np.arange(d) < deficit[:, None])).sum(1) == 0
    chance, floor = recovery(d + surplus, d)
    misses = found & (deficit > 0)
    return {
        "chance": found.mean(),
        "theory_chance": chance,
        "floor": floor,
        "fails_rank": misses.mean(),
        "fails_training": 1 - found.mean(),
        "z_chance": z_score(int(found.sum()), trials, chance),
        "z_floor": z_score(int(misses.sum()), trials, floor),
    }
