"""Figures of the sweeps: ``draw_<figure>`` of the tables that its parameters name; ``draw_factor`` is every sweep's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from awduality.figures.style import draw_nothing
from studies.sweeps import factor_figure, layers_figure, null_figure, overview, summary_figure, verdicts

Claims = Sequence[Mapping[str, Any]]


def _if_any(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Say so where a table is empty, instead of drawing."""

    @wraps(draw)
    def drawn(*tables: Any) -> Figure:
        if any(len(table) == 0 for table in tables):
            return draw_nothing("Nothing to show: no run has a geometry, or no run of the baseline converged.")
        return draw(*tables)

    return drawn


def draw_factor(gap: pd.DataFrame, directions: pd.DataFrame, training: pd.DataFrame, factor: str) -> Figure:
    """Effect of one factor, all others at their defaults.

    a: generalization gap, its estimate (the sum over directions), and its parts: "sharp", that of the directions of
    largest σ_g (ten, or geometry.sharp_directions), and "flat", that of all others; hollow where no run converged, a
    cross where all died or diverged. Values stand at equal distances, the points of one value a little apart. b–d:
    sharpness, cumulative size and correlation over the directions, by descending sharpness. e: eigenvalues of the
    layer's Hessian. f: loss on the clean training samples (solid, the band is the range over seeds) and on the test
    samples (dashed), medians over seeds; a run that has ended counts with its last loss. Only directions whose
    eigenvalue is above 1e-10 of the largest are drawn. a–e are means over the runs that converged, as many as a says
    where some did not, or over those that ended by their budget where none did (dashed in b–e); bars and bands are 95%
    t-intervals over seeds, where there are several; on logarithmic axes a band that reaches zero is cut at a tenth of
    the mean.
    """
    return factor_figure.draw_factor(factor, {"gap": gap, "directions": directions, "training": training})


@_if_any
def draw_codeterminants(runs: pd.DataFrame) -> Figure:
    """Sharpness against size, the gap as colour, a marker per factor and a point per run.

    Both are sums over the directions whose eigenvalue is above 1e-10 of the largest. Hollow: the run did not reach
    its target loss.
    """
    return overview.draw_codeterminants(overview.shown(runs))


@_if_any
def draw_duality(runs: pd.DataFrame, duality_pairs: pd.DataFrame) -> Figure:
    """Exactness of the activity–weight duality.

    a: the loss of each test sample of one run against the loss of its paired training sample under the dual weights.
    b: the largest error of every run; outputs relative to the largest output, losses absolute.
    """
    return overview.draw_duality(overview.shown(runs), duality_pairs)


@_if_any
def draw_estimate(runs: pd.DataFrame) -> Figure:
    """The sum over directions against the measured generalization gap, a point per run.

    Their agreement is an identity up to pairing: it checks the code, not the theory. Hollow: the run did not reach
    its target loss.
    """
    return overview.draw_estimate(overview.shown(runs))


@_if_any
def draw_layers(claims: Claims) -> Figure:
    """The layers of one network side by side.

    Upper panels, one per factor: the trend of every measure from the smallest to the largest value of the factor, a
    column per layer. Lower panel: the claims that are not about a factor. Colours are verdicts; ratios are marked ×.
    """
    return layers_figure.draw_layers(claims)


@_if_any
def draw_nulls(null_curves: pd.DataFrame) -> Figure:
    """The baseline's solutions beside their nulls, over the directions by descending sharpness.

    a: sharpness, as trained, with the scalars that make g out of the dual weights shuffled over the pairs, and in a
    random orthonormal basis. b: correlation c, likewise. c: cumulative share of the estimate; shuffled scalars leave
    most of it, rescaling whole layers changes nothing, rescaling single neurons moves it, a random basis spreads it.
    d: sharpness under rescaling. Lines are means over seeds and draws, bands the central 95%.
    """
    return null_figure.draw_nulls(null_curves)


@_if_any
def draw_predictors(claims: Claims) -> Figure:
    """How well each predictor ranks the gaps: Spearman's correlation over the converged runs of a seed.

    Means over seeds with 95% t-intervals. a: over all runs. b: within each factor's sweep, averaged over the factors.
    c: all runs, every network in its balanced form, where no rescaling moves the predictors; the norm of all weights
    was not measured there. The first predictor is sharpness from the Hessian alone times size.
    """
    return verdicts.draw_predictors(claims)


@_if_any
def draw_size(runs: pd.DataFrame) -> Figure:
    """Size against the Frobenius norm of the layer's weights, a point per run.

    Size is the sum of the standard deviations of the dual weights over the directions whose eigenvalue is above 1e-10
    of the largest. Hollow: the run did not reach its target loss.
    """
    return overview.draw_size(overview.shown(runs))


@_if_any
def draw_summary(runs: pd.DataFrame, null_curves: pd.DataFrame, claims: Claims) -> Figure:
    """The test of the two co-determinants.

    a: the duality, which holds by algebra: a change of a layer's input is a change of its weights, and the gap a sum
    over directions n. b: cumulative share of that sum for the baseline's solutions, in the eigenbasis of the layer's
    Hessian, with the scalars that make g out of the dual weights shuffled over the pairs, and in a random basis; bands
    are the central 95% over seeds and draws. c: the gap against sharpness from the Hessian alone and size, with
    exponents that were fixed before the confirming run; a point per converged run. d: rank correlation of the gap with
    every predictor over the runs of a seed; below, partial ones. e: error in predicting the logarithm of the gaps of a
    factor from a law fitted to all others. f: change of sharpness, size and gap along each factor, with verdicts.
    """
    return summary_figure.draw_summary(runs, null_curves, claims)


@_if_any
def draw_verdicts(claims: Claims) -> Figure:
    """The grid of factors and measures: the trend from the smallest to the largest value of each factor.

    Means over seeds, and the verdict on the claim about it as colour. Ratios are marked ×; gaps and their parts are
    in nats, test errors in percentage points.
    """
    return verdicts.draw_verdicts(claims)
