"""Figures of many learners: a function ``draw_<figure>`` of the tables that its parameters name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from awduality.figures import effects
from studies.learners import comparisons, paths


def draw_course(runs: pd.DataFrame, course: pd.DataFrame) -> Figure:
    """What the learners do along training, at the setting at which SSGD fails if it was run, else at a large one.

    a: effective rate, the step of the averaged weights along the gradient, in units of the learning rate. b: spread
    of the learners of DPSGD, their mean squared distance from the average. c: training loss of the averaged weights.
    Lines are medians, bands the middle half of the seeds.
    """
    return paths.draw_course(runs, course)


def draw_effects(claims: Sequence[Mapping[str, Any]]) -> Figure:
    """Every claim that has a number: its effect, its null and its verdict.

    Points are means over seeds with their 95% t-intervals, coloured marks the same under the null, bands the verdict.
    Ratios, differences and small differences have axes of their own.
    """
    return effects.draw_effects(claims)


def draw_grid(runs: pd.DataFrame) -> Figure:
    """Synchronous and decentralised SGD over learning rates, a column per total batch.

    Top: the share of the seeds whose run reached the target loss. Middle: test error, median over those seeds, which
    are the small points. Bottom: gap, mean over them with its 95% t-interval, which three seeds at least have. Crosses
    are runs that did not reach the target loss. The lines of one rate stand a little apart.
    """
    return comparisons.draw_grid(runs)


def draw_plane(runs: pd.DataFrame) -> Figure:
    """Size against sharpness, an arrow from the SSGD solution to the DPSGD solution of the same setting and seed.

    Arrows are geometric means over the seeds of a setting, thin and with small marks where fewer than three seeds have
    a pair; small points are single seeds; the colour is the learning rate times the total batch. Only pairs of which
    both reached the target loss. a: both as norms over all directions. b: the Hessian's top eigenvalue instead of
    sharpness. c: the same of the networks in their balanced form, where no rescaling of layers moves them.
    """
    return comparisons.draw_plane(runs)


def draw_surface(surface: pd.DataFrame) -> Figure:
    """Training loss and test error in the plane through an SSGD and a DPSGD solution and the weights both started from.

    The three networks are marked, all of one seed: an example. Distances in the plane are distances between networks;
    the ways that training took do not lie in it.
    """
    return paths.draw_surface(surface)
