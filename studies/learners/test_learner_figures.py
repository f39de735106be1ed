"""The figures of a study of many learners: what they show, what they say where there is nothing, their bytes."""

import hashlib
import itertools
import re

import numpy as np
import pandas as pd
import pytest

import draw as script
from awduality.claims.statistics import mean_interval
from awduality.figures.effects import draw_effects
from awduality.files import read_json, write_json, write_table
from awduality.study.discovery import drawing_functions
from studies.learners import figures, numbers
from studies.learners.comparisons import draw_grid, draw_plane
from studies.learners.matched import compared, first_layer, matched_pairs
from studies.learners.paths import draw_course, draw_surface
from studies.learners.surface import COLUMNS as SURFACE_COLUMNS

LEARNER_FIGURES = drawing_functions("learners")

LABELS = {"config": "study", "dataset": "digits", "pairing": "test_to_train", "noise": 0.0, "steps": 100, "step": 90}
STEPS = (1, 3, 10, 100)


@pytest.fixture
def runs():
    """Two batches, two rates, three seeds; at the larger rate SSGD fails for all seeds but the first."""
    generator = np.random.default_rng(5)
    rows = []
    kinds = [("ssgd", 1), ("dpsgd", 5), ("dpsgd", 16)]
    for layer, (algorithm, n), batch, rate, seed in itertools.product(
        ("fc2", "fc1"), kinds, (40, 400), (0.1, 1.0), range(3)
    ):
        failed = algorithm == "ssgd" and rate == 1 and seed > 0
        row = LABELS | {"layer": layer, "run": f"{algorithm}{n}-{batch}-{rate}-{seed}", "algorithm": algorithm}
        row |= {"learners": n, "mixing": "ring" if algorithm == "dpsgd" else "full", "learning_rate": rate}
        row |= {"total_batch": batch, "seed": seed, "ended": "budget" if failed else "converged"}
        row["experiments"] = "large" if batch == 400 else "small"
        row["last_test_error"] = 0.8 if failed else 0.02 + 0.01 * generator.random()
        row |= {name: np.nan if failed else 0.5 + generator.random() for name in numbers.GEOMETRY}
        rows.append(row)
    return pd.DataFrame(rows)


@pytest.fixture
def course(runs):
    rows = [
        {"run": run, "step": step, "train_loss": 2.0 / step, "spread": 0.1 * (step > 1) * ("dpsgd" in run)}
        | {"effective_rate": 1.0 if "ssgd" in run and "dpsgd" not in run else 0.5 + seed / 10}
        for (seed, run), step in itertools.product(enumerate(runs["run"].unique()), STEPS)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def surface():
    setting = {"config": "study", "dataset": "digits", "samples": 400, "algorithm": "dpsgd", "mixing": "ring"}
    setting |= {"learners": 5, "learning_rate": 1.0, "total_batch": 400, "noise": 0.0, "steps": 100, "seed": 0}
    points = [(0.0, 0.0, "ssgd"), (3.0, 0.0, "dpsgd"), (1.0, 8.0, "initial")]
    points += [(float(x), float(y), np.nan) for y in np.linspace(-3, 11, 9) for x in np.linspace(-5, 9, 9)]
    return pd.DataFrame(
        [
            setting | {"x": x, "y": y, "train_loss": 0.01 + x**2 + y**2, "test_error": min(abs(y) / 9, 0.9), "point": p}
            for x, y, p in points
        ]
    )


def claim(name, estimate, half, scale="log", null=(None, None), verdict="supported"):
    interval = [estimate - half, estimate + half]
    texts = {"id": name, "statement": f"Statement of {name}.", "layer": "fc2", "config": "study", "dataset": "digits"}
    found = {"estimate": estimate, "interval": interval, "null": None, "null_value": null[0], "null_interval": null[1]}
    return texts | found | {"scale": scale, "verdict": verdict, "expected": "-", "identity": False, "n": 5}


@pytest.fixture
def claims():
    return [
        claim("flatter", -0.7, 0.2, null=(0.0, [-0.1, 0.1])),
        claim("reach", 0.5, 0.3, "linear"),
        claim("error", 0.012, 0.004, "linear", (None, [-0.002, 0.003]), "contradicted"),
        claim("empty", 0.0, 0.0, verdict="not tested") | {"estimate": None, "interval": None},
    ]


def words(figure):
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [text.get_text() for text in (*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label)]
        found += [label.get_text() for label in axes.get_yticklabels()]
    for legend in figure.legends:
        found += [legend.get_title().get_text(), *(text.get_text() for text in legend.get_texts())]
    return re.sub(r"\s+", " ", " ".join(found))


def markers(axes, colour, marker):
    """The points of the lines of this colour and marker, (K, 2)."""
    found = [line.get_xydata() for line in axes.lines if (line.get_color(), line.get_marker()) == (colour, marker)]
    return np.concatenate(found) if found else np.empty((0, 2))


def test_grid_shows_the_share_of_seeds_that_reached_the_target(runs):
    figure = draw_grid(runs)
    assert markers(figure.axes[1], "black", "o")[:, 1] == pytest.approx([1, 1 / 3])
    assert markers(figure.axes[1], "#d55e00", "s")[:, 1] == pytest.approx([1, 1])


def test_grid_shows_means_over_converged_seeds_with_students_interval_and_every_failure(runs):
    error, gap = draw_grid(runs).axes[3::2]
    chosen = runs[(runs["layer"] == "fc2") & (runs["total_batch"] == 400) & (runs["algorithm"] == "ssgd")]
    chosen = chosen[chosen["learning_rate"] == 0.1]
    mean, half = mean_interval(chosen["gap"].to_numpy())
    assert markers(gap, "black", "o")[0, 1] == pytest.approx(mean)
    low, high = gap.collections[0].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((mean - half, mean + half))
    assert markers(error, "black", "x")[:, 1] == pytest.approx([80, 80])
    assert len(markers(error, "#d55e00", "x")) == len(markers(gap, "black", "x")) == 0


def test_grid_says_how_many_seeds_and_which_layer(runs):
    text = words(draw_grid(runs))
    assert "study: digits, layer fc2" in text
    assert "3 seeds per point" in text
    assert "DPSGD, $n = 16$" in text
    fewer = runs[~((runs["seed"] == 2) & (runs["learning_rate"] == 1))]
    assert "2 to 3 seeds per point" in words(draw_grid(fewer))


def test_grid_draws_intervals_of_three_seeds_at_least(runs):
    def lengths(table):
        bars = [one for axes in draw_grid(table).axes for one in axes.collections if hasattr(one, "get_segments")]
        return [np.ptp(segment[:, 1]) for bar in bars for segment in bar.get_segments()]

    spread = runs.assign(gap=runs["gap"] + 0.01 * runs["seed"])
    assert max(lengths(spread)) > 0
    assert not any(lengths(spread[spread["seed"] < 2]))


def test_grid_has_a_column_for_each_number_of_steps_of_a_batch(runs):
    longer = runs.assign(steps=runs["steps"].where(runs["learning_rate"] == 1, 3000))
    assert len(draw_grid(longer).axes) == 3 * 4
    assert "3,000 steps" in words(draw_grid(longer))


def test_arrows_of_the_plane_join_geometric_means_of_pairs_that_both_converged(runs):
    figure = draw_plane(runs)
    pairs = matched_pairs(compared(first_layer(runs)))
    assert len(pairs) == 2 * (2 * 3 + 2 * 1)
    assert "16 of 24 pairs of runs, in 8 settings" in words(figure)
    arrows = [text for text in figure.axes[0].texts if text.arrow_patch is not None]
    assert len(arrows) == 8
    one = pairs[(pairs["learners"] == 5) & (pairs["learning_rate"] == 0.1) & (pairs["total_batch"] == 40)]
    for end, place in (("", "xy"), ("_ssgd", "xyann")):
        wanted = [np.exp(np.log(one[f"{name}{end}"]).mean()) for name in ("sigma_w_norm", "sigma_g_norm")]
        assert any(getattr(arrow, place) == pytest.approx(wanted) for arrow in arrows), end


def test_plane_leaves_out_panels_without_numbers(runs):
    assert len(draw_plane(runs).axes) == 3 + 1
    fewer = runs.assign(top_eigenvalue_balanced=np.nan)
    assert len(draw_plane(fewer).axes) == 2 + 1


def test_plane_and_surface_say_that_no_pair_has_converged(runs, surface):
    failed = runs.assign(ended=runs["ended"].where(runs["algorithm"] == "dpsgd", "budget"))
    assert "nowhere have SSGD and DPSGD" in words(draw_plane(failed))
    assert "at no setting" in words(draw_surface(surface.iloc[:0]))


def test_course_shows_the_median_and_middle_half_of_the_largest_setting_where_nothing_was_recorded(runs, course):
    figure = draw_course(runs, course)
    assert r"$\alpha = 1$, total batch 400; 3 seeds" in words(figure)
    rate, spread, _ = figure.axes
    followed = course[course["run"].str.startswith("dpsgd5-400-1.0")].groupby("step")["effective_rate"]
    (line,) = [line for line in rate.lines if line.get_color() == "#d55e00"]
    assert line.get_ydata() == pytest.approx(followed.median().to_numpy())
    band = rate.collections[1].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((followed.quantile(0.25).min(), followed.quantile(0.75).max()))
    assert {line.get_color() for line in spread.lines} == {"#d55e00", "#0072b2"}
    assert spread.lines[0].get_xdata()[0] == 3  # before the first step learners are the same


def test_course_shows_the_recorded_setting_if_it_was_run(runs, course):
    recorded = runs[(runs["learning_rate"] == 0.1) & (runs["total_batch"] == 40)]
    star = recorded[recorded["algorithm"] == "ssgd"].assign(algorithm="ssgd_star", noise=0.02, learners=5)
    star["run"] = star["run"].str.replace("ssgd1", "star")
    table = pd.concat([runs, star])
    table.loc[table["run"].isin([*recorded["run"], *star["run"]]), "experiments"] += " extreme"
    more = course[course["run"].str.startswith("ssgd1")].assign(
        run=lambda rows: rows["run"].str.replace("ssgd1", "star")
    )
    text = words(draw_course(table, pd.concat([course, more])))
    assert r"$\alpha = 0.1$, total batch 40; 3 seeds" in text
    assert r"SSGD*, $\sigma_0 = 0.02$" in text
    assert "The learners of SSGD and SSGD* are always the same" in text


def test_a_course_of_diverged_or_identical_learners_is_drawn(runs, course):
    course.loc[course["step"] > 3, ["train_loss", "effective_rate", "spread"]] = np.nan
    for spread in (course["spread"], 0.0):
        draw_course(runs, course.assign(spread=spread)).draw_without_rendering()


def test_surface_names_its_points_where_they_are(surface):
    figure = draw_surface(surface)
    marks = {text.get_text(): text.xy for text in figure.axes[0].texts if text.get_text()}
    assert marks == {"SSGD": (0, 0), "DPSGD": (3, 0), "initial": (1, 8)}
    assert "SSGD: 0.01 nats, 0.0%; DPSGD: 9 nats, 0.0%" in words(figure)
    assert "seed 0, loss over 400 training samples" in words(figure)


def test_a_claim_with_a_number_is_a_row_and_ratios_have_their_own_axis(claims):
    ratio, difference, small = draw_effects(claims).axes
    assert (ratio.get_xscale(), difference.get_xscale()) == ("log", "linear")
    assert [len(axes.get_yticks()) for axes in (ratio, difference, small)] == [1, 1, 1]
    drawn = [line.get_xdata() for line in ratio.lines if line.get_color() == "black"]
    assert drawn[0] == pytest.approx(np.exp([-0.9, -0.5]))
    assert drawn[1] == pytest.approx(np.exp([-0.7]))
    text = words(draw_effects(claims))
    assert "×0.50 [×0.41, ×0.61] null ×1.00 [×0.90, ×1.11]" in text
    assert "Statement of error." in text
    assert "Statement of empty." not in text
    assert "contradicted" in text


def test_one_seed_has_an_effect_without_interval(claims):
    for row in claims[:3]:
        row["interval"] = [None, None]
    draw_effects(claims).draw_without_rendering()


def test_the_verdicts_of_another_layer_are_not_mixed_in(claims):
    assert len(draw_effects([*claims, claim("elsewhere", 1.0, 0.1) | {"layer": "fc1"}]).axes[0].get_yticks()) == 1


def layouts():
    return {"runs.csv": numbers.RUN_COLUMNS, "course.csv": numbers.COURSE_COLUMNS, "surface.csv": SURFACE_COLUMNS}


@pytest.mark.parametrize("figure", LEARNER_FIGURES)
def test_every_figure_is_drawn_from_empty_tables_with_a_reason(figure):
    tables = [
        [] if name == "claims.json" else pd.DataFrame(columns=layouts()[name]) for name in LEARNER_FIGURES[figure]
    ]
    assert words(getattr(figures, f"draw_{figure}")(*tables)).startswith("Nothing to show")


@pytest.mark.parametrize("figure", LEARNER_FIGURES)
def test_the_script_draws_the_same_bytes_twice_from_files(figure, runs, course, surface, claims, tmp_path):
    frames = {"runs.csv": runs, "course.csv": course, "surface.csv": surface}
    for name, frame in frames.items():
        write_table(tmp_path / name, frame.to_dict("records"), [c for c in layouts()[name] if c in frame])
    write_json(tmp_path / "claims.json", claims)
    assert read_json(tmp_path / "claims.json")
    paths = [str(tmp_path / name) for name in LEARNER_FIGURES[figure]]
    digests = []
    for attempt in ("a", "b"):
        files = [tmp_path / f"{attempt}.{kind}" for kind in ("svg", "png")]
        written = ["--svg-out", str(files[0]), "--png-out", str(files[1])]
        script.main([figure, "--study", "learners", "--numbers", *paths, *written])
        digests.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
    assert digests[0] == digests[1]
    assert "Nothing to show" not in (tmp_path / "a.svg").read_text()


def test_figures_of_studies_and_of_sweeps_have_different_names():
    assert set(LEARNER_FIGURES) == {"course", "effects", "grid", "plane", "surface"}
    assert not set(LEARNER_FIGURES) & set(drawing_functions("sweeps"))
