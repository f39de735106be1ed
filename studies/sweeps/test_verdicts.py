import json

import pytest

from awduality.files import read_frame
from studies.sweeps.summary_figure import draw_summary
from studies.sweeps.verdicts import draw_predictors, draw_verdicts


@pytest.fixture
def claims(root):
    return json.loads((root / "figures/digits/claims.json").read_text())


def words(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts] + [text.get_text() for text in figure.texts]


def test_a_cell_per_factor_and_measure_shows_the_trend_and_marks_what_was_expected(claims):
    found = {claim["id"]: claim for claim in claims}
    for name, verdict in (("batch_size/trace", "supported"), ("width/gap", "contradicted")):
        found[name] |= {"estimate": -1.0, "expected": "+", "verdict": verdict}
    shown = words(draw_verdicts(claims))
    assert len(shown) == 9 * 9
    assert "×0.37*" in shown
    assert "−1.000†" in shown


def test_factors_without_runs_have_no_row(claims):
    for claim in claims:
        if claim["id"].startswith("l2/"):
            claim |= {"n": None, "estimate": None, "verdict": "not tested"}
    assert len(words(draw_verdicts(claims))) == 8 * 9


def test_every_predictor_has_a_point_in_every_panel_that_ranks_it(claims):
    panels = draw_predictors(claims).axes
    points = [sum(line.get_marker() not in ("None", "") for line in axes.lines) for axes in panels]
    assert points == [7, 7, 6]  # the norm of all weights is not ranked in the balanced form


def test_figures_without_anything_tested_say_so(claims):
    for claim in claims:
        claim |= {"n": None, "estimate": None, "verdict": "not tested", "details": []}
    assert "No trend could be tested" in words(draw_verdicts(claims))[0]
    assert "Nothing could be ranked" in words(draw_predictors(claims))[0]


@pytest.fixture
def summary(root, claims):
    runs, curves = (read_frame(root / f"figures/digits/{name}.csv") for name in ("runs", "null-curves"))
    return lambda: draw_summary(runs, curves, claims)


def test_the_summary_ranks_every_predictor_each_determinant_given_the_other_and_every_law(summary, claims):
    found = {claim["id"]: claim for claim in claims}
    *_, ranks, errors, factors = summary().axes
    points = [sum(line.get_marker() not in ("None", "") for line in axes.lines) for axes in (ranks, errors)]
    assert points == [
        len(found["codeterminants"]["details"]) + 2,
        8,
    ]  # both determinants; the laws, a constant
    assert len(factors.texts) == 9 * 3


def test_the_summary_is_drawn_where_nothing_could_be_tested(summary, claims):
    for claim in claims:
        claim |= {"n": None, "estimate": None, "verdict": "not tested", "details": []}
    assert len(summary().axes) == 6
