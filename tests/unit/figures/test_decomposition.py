"""The figure of one decomposition: what it shows, and that it leaves the user's matplotlib alone."""

import io
import subprocess
import sys
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
import torch

import awduality
from awduality import decompose, plot_decomposition
from awduality.networks import fully_connected


@pytest.fixture(scope="module")
def problem(digits):
    torch.manual_seed(0)
    model = fully_connected([64, 8, 9, 10])
    for parameter in model.parameters():
        parameter.data *= 3
    return model, "fc2", digits.train(300), digits.test


@pytest.fixture(scope="module")
def result(problem):
    return decompose(*problem)


def svg(figure):
    file = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "same"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def test_directions_are_ranked_by_sharpness_and_those_of_the_null_space_left_out(result):
    figure = plot_decomposition(result)
    spectra, correlation, _, _, right = figure.axes
    drawn = spectra.lines[0].get_ydata()
    assert len(drawn) == len(right.lines[0].get_ydata()) == result.above.sum() < len(result.sigma_g)
    assert np.array_equal(drawn, np.sort(result.sigma_g[result.above])[::-1])
    assert np.array_equal(correlation.lines[0].get_ydata(), result.c[result.by_sharpness[: len(drawn)]])


@pytest.mark.parametrize("top", [None, 20])
def test_the_sum_ends_at_the_estimate_with_all_that_it_consists_of(problem, top):
    result = decompose(*problem, top=top)
    figure = plot_decomposition(result)
    lines = {line.get_label().partition(" ")[0]: line for line in figure.axes[2].lines}
    steps = [line.get_ydata() for line in figure.axes[2].lines if line.get_linewidth() == 3]
    assert len(steps) == (1 if top is None else 2)
    assert steps[-1][1] == pytest.approx(result.estimate)
    assert lines["Estimate"].get_ydata()[0] == result.estimate
    assert lines["Gap"].get_ydata()[0] == result.gap
    assert ("Remainder" in lines) == (top is not None)


def test_every_pair_is_drawn_with_its_dual_on_the_diagonal(result):
    _, train, dual = plot_decomposition(result).axes[3].lines
    assert np.array_equal(train.get_xdata(), result.test_loss)
    assert dual.get_ydata() == pytest.approx(dual.get_xdata(), rel=1e-9)


def test_units_are_those_of_the_loss(result):
    assert svg(plot_decomposition(result)).count("(nats") == 4
    assert "(bits per unit of weight)" in svg(plot_decomposition(result, loss_unit="bits"))
    bare = svg(plot_decomposition(result, loss_unit="", title="My network"))
    assert "nats" not in bare
    assert "()" not in bare
    assert "My network" in bare


def test_zeros_negative_losses_and_a_layer_without_curvature_are_drawn(result):
    shifted = replace(result, test_loss=result.test_loss - 1, dual_loss=result.dual_loss - 1, c=-result.c)
    assert plot_decomposition(shifted).axes[3].get_xscale() == "symlog"
    some = replace(result, sigma_g=np.where(np.arange(72) % 2, result.sigma_g, 0.0), train_loss=0 * result.train_loss)
    figure = plot_decomposition(some)
    assert np.nanmin(figure.axes[0].lines[0].get_ydata()) > 0
    assert figure.axes[3].get_xscale() == "symlog"
    flat = replace(result, eigenvalues=0 * result.eigenvalues)
    assert "0 of 72 directions have curvature" in svg(plot_decomposition(flat))
    silent = {name: 0 * getattr(result, name) for name in ("test_loss", "train_loss", "dual_loss")}
    svg(plot_decomposition(replace(flat, **silent)))


def test_the_users_matplotlib_stays_as_it_is_and_does_not_matter(result):
    before = dict(mpl.rcParams)
    plain = svg(plot_decomposition(result))
    assert dict(mpl.rcParams) == before
    with mpl.rc_context({"font.size": 20, "axes.labelsize": 30, "xtick.major.size": 12, "axes.grid": True}):
        assert svg(plot_decomposition(result)) == plain


def test_pyplot_is_not_needed(root):
    check = (
        "import sys, awduality; awduality.plot_decomposition; assert 'awduality.figures.decomposition' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", check], check=True, cwd=root / "src")
    assert "pyplot" not in (root / "src/awduality/figures/decomposition.py").read_text().replace("outside pyplot", "")
    assert awduality.plot_decomposition is plot_decomposition


def test_the_package_of_figures_gives_it_and_imports_nothing_before(root):
    check = "import sys, awduality.figures as f; assert 'matplotlib' not in sys.modules; f.plot_decomposition"
    subprocess.run([sys.executable, "-c", check], check=True, cwd=root / "src")


@pytest.mark.parametrize("wrong", [None, 3, "fc2", {}])
def test_what_is_no_decomposition_is_refused(wrong):
    with pytest.raises(awduality.InputError, match="result must be what awduality.decompose returns"):
        plot_decomposition(wrong)


@pytest.mark.parametrize("wrong", [-1, 2.5, None, "ten"])
def test_a_number_of_directions_that_is_none_is_refused(result, wrong):
    with pytest.raises(awduality.InputError, match="sharp_directions must be an integer"):
        plot_decomposition(result, sharp_directions=wrong)
