import json

import pytest

from awduality.claims.report import (
    HEADLINES,
    against_expectation,
    claims_table,
    grid_table,
    not_confirmed,
    paper_table,
    side_by_side,
)
from awduality.claims.words import Verdicts
from awduality.errors import InputError


def row(name, **given):
    base = {
        "id": name,
        "layer": "fc2",
        "statement": f"statement of {name}, |W|",
        "identity": False,
        "expected": "+",
        "verdict": "supported",
        "scale": "linear",
        "estimate": 0.5,
        "median": None,
        "interval": [0.4, 0.6],
        "p_adjusted": 0.0123,
        "n": 10,
        "excluded": 2,
        "null": "shuffled_scalars",
        "null_value": None,
        "null_interval": None,
        "against": None,
        "details": [],
    }
    return base | given


@pytest.fixture
def verdicts():
    rows = [row(name) for tests in HEADLINES.values() for name in tests if name != "init_scale/gap"]
    rows += [row(f"init_scale/{measure}") for measure in ("gap", "trace")]
    return Verdicts({entry["id"]: entry for entry in rows})


def changed(verdicts, name, **given):
    return Verdicts({**verdicts.rows, name: verdicts.rows[name] | given})


def test_an_interval_is_written_to_as_many_digits_as_tell_its_ends_apart(verdicts):
    narrow = changed(verdicts, "means", estimate=0.00412, interval=[0.00398, 0.00426])
    assert narrow.effect("means") == "+0.0041 [+0.0040, +0.0043]"
    point = changed(verdicts, "means", estimate=0.5, interval=[0.5, 0.5])
    assert point.effect("means") == "+0.500 [+0.500, +0.500]"


def test_effects_carry_their_interval_and_ratios_are_marked(verdicts):
    assert verdicts.effect("means") == "+0.500 [+0.400, +0.600]"
    ratio = changed(verdicts, "means", scale="log", estimate=-0.693147, interval=[-1.386294, 0.0])
    assert ratio.effect("means") == "×0.50 [×0.25, ×1.00]"
    assert changed(verdicts, "means", estimate=None).effect("means") == "–"
    assert changed(verdicts, "factors", estimate=4.0, interval=None, n=6).effect("factors") == "4 of 6"


def test_identities_are_said_to_hold_or_fail_and_are_never_called_supported(verdicts):
    exact = changed(verdicts, "duality", identity=True, estimate=2.84e-14, interval=None)
    assert exact.verdict("duality") == "identity holds"
    assert exact.effect("duality") == "error ≤ 3e-14"
    assert changed(exact, "duality", estimate=1.33e-15).effect("duality") == "error ≤ 2e-15"  # a bound is not smaller
    assert changed(exact, "duality", estimate=9.7e-16).effect("duality") == "error ≤ 1e-15"
    assert changed(exact, "duality", verdict="contradicted").verdict("duality") == "identity fails"
    assert exact.tested(grid=False) == verdicts.tested(grid=False) - 1


def test_a_null_is_a_value_with_its_interval_or_an_interval_alone(verdicts):
    assert verdicts.null("means") == "–"
    both = changed(verdicts, "means", null_value=0.1, null_interval=[-0.1, 0.3])
    assert both.null("means") == "+0.100 [−0.100, +0.300]"
    assert changed(verdicts, "means", null_interval=[0.1, None]).null("means") == "[+0.100, –]"


def test_details_are_found_by_predictor_and_factor(verdicts):
    entries = [
        {"predictor": "trace", "estimate": -0.25, "interval": [-0.5, 0.0]},
        {"predictor": "trace", "factor": "width", "estimate": 0.75, "interval": [0.5, 1.0]},
    ]
    found = changed(verdicts, "means", details=entries)
    assert found.predictor("means", "trace") == "−0.25 [−0.50, 0.00]"
    assert found.predictor("means", "trace", "width") == "0.75 [0.50, 1.00]"
    with pytest.raises(InputError, match="claim means has no predictor 'norm'"):
        found.predictor("means", "norm")


def test_small_p_values_are_bounded(verdicts):
    assert verdicts.p("means") == "0.012"
    assert changed(verdicts, "means", p_adjusted=1e-7).p("means") == "< 0.001"


def test_the_readmes_table_has_a_row_per_claim_of_the_paper_and_a_column_per_config(verdicts):
    weaker = changed(verdicts, "constancy", verdict="not distinguishable from the null")
    lines = paper_table({"digits": verdicts, "mnist": weaker}, {"digits-learners": verdicts}, "mnist").splitlines()
    assert len(lines) == 2 + len(HEADLINES)
    assert lines[0] == "| claim | tested | digits | mnist | effect (mnist) |"
    (decomposition,) = [line for line in lines if line.startswith("| `decomposition` |")]
    assert "supported<br>supported<br>as the null" in decomposition
    (study,) = [line for line in lines if line.startswith("| `multi-learner` |")]
    effect = "+0.500 [+0.400, +0.600] (digits)"
    assert study.endswith(f"| supported<br>supported<br>supported | not run | {effect}<br>{effect}<br>{effect} |")


def test_tables_split_the_grid_from_the_other_claims_and_escape_bars(verdicts):
    assert "init_scale" not in claims_table({"digits": verdicts})
    assert "statement of means, \\|W\\|" in claims_table({"digits": verdicts})
    signs = changed(verdicts, "init_scale/trace", verdict="contradicted")
    assert grid_table(signs).splitlines()[2] == "| Initial scale | +0.500 ✓ | +0.500 ✗ | 2 of 12 |"


@pytest.fixture
def undecided(verdicts):
    changes = {"verdict": "inconclusive", "interval": [-0.1, 1.1], "p_adjusted": 0.3}
    return changed(changed(verdicts, "means", **changes), "init_scale/trace", **changes)


def test_what_is_inconclusive_is_shown_with_its_interval_and_p_value_everywhere(undecided):
    shown = "+0.500 [−0.100, +1.100], adjusted p 0.300"
    assert undecided.found("means") == shown
    assert f"| inconclusive<br>{shown} |" in claims_table({"digits": undecided})
    assert f"inconclusive: {shown}" in paper_table({"digits": undecided}, {}, "digits")
    assert f"{shown} · |" in side_by_side({"digits": undecided})
    assert grid_table(undecided).splitlines()[2] == f"| Initial scale | +0.500 ✓ | {shown} · | 2 of 12 |"


def test_what_is_decided_is_shown_without_its_p_value(verdicts):
    assert verdicts.found("means") == verdicts.effect("means")
    assert "adjusted" not in claims_table({"digits": verdicts}) + paper_table({"digits": verdicts}, {}, "digits")


def test_the_median_stands_beside_a_mean_that_a_single_run_may_move(verdicts):
    found = changed(verdicts, "means", median=0.01)
    assert found.found("means") == "+0.500 [+0.400, +0.600], median +0.010"
    assert "median +0.010" in claims_table({"digits": found})


def test_a_cell_that_is_not_tested_has_no_number_and_runs_are_counted_where_there_are_some(verdicts):
    blank = {"verdict": "not tested", "estimate": None, "interval": None, "n": None, "excluded": None}
    found = Verdicts({"init_scale/trace": row("init_scale/trace", **blank), "init_scale/gap": row("init_scale/gap")})
    assert grid_table(found).splitlines()[2] == "| Initial scale | – | +0.500 ✓ | 2 of 12 |"


def test_layers_side_by_side_leave_out_what_none_could_test(tmp_path):
    first = [row("means", estimate=0.5), row("constancy", estimate=None, verdict="not tested", interval=None)]
    first += [row("width/gap", scale="log", estimate=0.0, interval=[0.0, 0.0]), row("width/trace")]
    second = [{**entry, "layer": "fc3", "verdict": "contradicted"} for entry in first]
    (tmp_path / "claims.json").write_text(json.dumps([*first, *second]))
    layers = Verdicts.every_layer(tmp_path)
    assert list(layers) == ["fc2", "fc3"]
    assert Verdicts.read(tmp_path) == layers["fc2"]
    assert side_by_side(layers).splitlines() == [
        "| claim | fc2 | fc3 |",
        "|---|---|---|",
        "| `means` | +0.500 [+0.400, +0.600] ✓ | +0.500 [+0.400, +0.600] ✗ |",
        "| `width/gap` | ×1.00 [×1.00, ×1.00] ✓ | ×1.00 [×1.00, ×1.00] ✗ |",
    ]


def test_what_is_contradicted_is_listed_with_the_number_that_decided(verdicts):
    assert against_expectation({"digits": verdicts}) == "None."
    found = changed(verdicts, "init_scale/gap", verdict="contradicted", estimate=-0.051, interval=[-0.1, -0.002])
    text = against_expectation({"digits": verdicts, "mnist": found})
    assert text == "- mnist, `init_scale/gap`: expected +, found −0.051 [−0.100, −0.002], adjusted p 0.012."


def test_what_the_exploration_supports_and_the_confirmation_does_not_is_listed(verdicts):
    assert not_confirmed(verdicts, verdicts) == "None."
    weaker = changed(verdicts, "means", verdict="inconclusive", estimate=0.01, interval=[-0.1, 0.12], p_adjusted=0.7)
    assert not_confirmed(weaker, verdicts) == "None."
    assert not_confirmed(verdicts, weaker) == (
        "- `means`: +0.500 [+0.400, +0.600] in the exploration; in the confirmation inconclusive, "
        "+0.010 [−0.100, +0.120], adjusted p 0.700."
    )


def test_only_the_first_layer_is_reported(tmp_path):
    rows = [row("means"), row("means", layer="fc3", estimate=9.0)]
    (tmp_path / "claims.json").write_text(json.dumps(rows))
    assert Verdicts.read(tmp_path).rows["means"]["estimate"] == 0.5


def test_a_folder_without_verdicts_is_refused(tmp_path):
    with pytest.raises(InputError, match="run the pipeline with this config, or snakemake claims"):
        Verdicts.read(tmp_path)
