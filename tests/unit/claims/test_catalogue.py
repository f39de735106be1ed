"""The claims as data: the shipped ones, and what is refused."""

import copy
import itertools

import numpy as np
import pandas as pd
import pytest
import yaml

from awduality.claims.catalogue import Quantity, read_claims
from awduality.claims.judge import kinds_of
from awduality.duality import controls
from awduality.duality.summary import COLUMNS, NULL_COLUMNS
from awduality.duality.temperature import TEMPERED_COLUMNS
from awduality.errors import InputError
from studies.sweeps.study import FACTORS

SWEEPS = kinds_of("sweeps")

PAPER = {"duality", "decomposition", "size-norm", "codeterminants", "factors", "init-scale", "multi-learner"}

WRITTEN = {
    "runs": {
        *COLUMNS,
        *(f"{name}_reversed" for name in COLUMNS),
        *NULL_COLUMNS,
        *FACTORS,
        *("train_loss", "test_error", "error_gap"),
        *TEMPERED_COLUMNS,
    },
    "null-runs": set(controls.COLUMNS),
}


@pytest.fixture(scope="module")
def schema(root):
    return yaml.safe_load((root / "workflow/schemas/claims.schema.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def shipped(root):
    return yaml.safe_load((root / "config/claims.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def claims(shipped, schema):
    return read_claims(shipped, schema, SWEEPS).claims


def test_the_grid_holds_every_factor_and_measure(shipped, claims):
    measures = shipped["grid"]["measures"]
    expected = [f"{factor}/{measure}" for factor, measure in itertools.product(FACTORS, measures)]
    trends = [claim for claim in claims if "/" in claim.id and claim.id.partition("/")[0] in FACTORS]
    assert sorted(claim.id for claim in trends) == sorted(expected)
    assert {claim.kind for claim in trends} == {"trend"}
    assert all(claim.options["factor"] == claim.id.partition("/")[0] for claim in trends)


def test_sharpness_is_matched_in_the_training_loss_along_every_sweep_and_nothing_else_is(claims):
    trends = [claim for claim in claims if claim.kind == "trend" and "/" in claim.id]
    matched = [claim for claim in trends if "matched" in claim.options]
    sharpness = {"sigma_g_total", "top_eigenvalue", "trace", "sharp_part"}
    assert {claim.id.partition("/")[2] for claim in matched} == sharpness
    assert len(matched) == len(sharpness) * len(FACTORS)
    for claim in matched:
        said = claim.options["matched"]
        assert (said["claim"], said["margin"]) == (f"{claim.options['factor']}/train_loss", 0.223)
        assert set(said["quantity"]["columns"]) == {"train_loss"}


def test_every_claim_of_the_paper_is_tested_or_said_not_to_be(claims):
    assert {claim.of for claim in claims} == {*PAPER, "ours"}


def columns_of(claim):
    quantities = [claim.quantity, claim.target, *claim.rivals]
    if claim.null:
        quantities += [claim.null.quantity, claim.null.target]
    read = {name for quantity in quantities if quantity for name in quantity.columns}
    return read | set(claim.options.get("columns", ()))


def test_claims_read_only_columns_that_the_pipeline_writes(claims):
    read = {table: set() for table in WRITTEN}
    for claim in claims:
        read[claim.options.get("table", "runs")] |= columns_of(claim)
    assert {"gap", "sigma_w_norm_balanced", "train_loss", "estimate_reversed"} <= read["runs"]
    assert {table: names - WRITTEN[table] for table, names in read.items()} == {"runs": set(), "null-runs": set()}


def test_claims_name_only_factors_and_measures_that_exist(shipped, claims):
    for claim in claims:
        assert {*claim.options.get("factors", ()), claim.options.get("factor", "width")} <= set(FACTORS)
        assert set(claim.options.get("through", ())) <= set(shipped["grid"]["measures"])


def test_only_identities_have_a_tolerance_near_zero(claims):
    margins = {claim.identity: [] for claim in claims}
    for claim in claims:
        if claim.expected == "equivalent":
            margins[claim.identity].append(claim.margin)
    assert max(margins[True]) <= 1e-10 < 0.01 < min(margins[False])


QUANTITY = {"columns": {"gap": 1}}


def content():
    """One claim, and a grid of one factor and two measures."""
    claim = {
        "id": "means",
        "of": "decomposition",
        "statement": "The mean term is small.",
        "known_from": "abstract",
        "statistic": {"kind": "mean", "quantity": QUANTITY},
        "expected": "equivalent(0.05)",
        "why": "a reason",
    }
    measures = {
        "gap": {"words": "the gap", "quantity": QUANTITY, "control": {"name": "test_samples"}},
        "trace": {
            "words": "the trace",
            "quantity": {"columns": {"trace": 1}, "scale": "log", "label": "tr H"},
            "control": {"name": "rescaling", "quantity": {"columns": {"trace_balanced": 1}}, "rule": "persists"},
        },
    }
    row = {"of": "factors", "known_from": "abstract", "expected": {"gap": "-", "trace": "equivalent(0.2)"}}
    return {
        "level": 0.05,
        "claims": [claim],
        "grid": {"why": "the family", "measures": measures, "factors": {"width": row}},
    }


def changed(*edits):
    """The content with other values at dotted places; None removes what is there."""
    result = copy.deepcopy(content())
    for place, value in copy.deepcopy(edits):
        *path, last = place.split(".")
        node = result
        for key in path:
            node = node[int(key)] if isinstance(node, list) else node[key]
        if value is None:
            del node[last]
        elif isinstance(node, list):
            node.insert(int(last), value)
        else:
            node[last] = value
    return result


def test_the_grid_is_expanded_to_a_trend_per_factor_and_measure(schema):
    means, gap, trace = read_claims(content(), schema, SWEEPS).claims
    assert (means.id, means.kind, means.expected, means.margin) == ("means", "mean", "equivalent", 0.05)
    assert (gap.id, gap.of, gap.expected, gap.why, gap.null.name) == (
        "width/gap",
        "factors",
        "-",
        "the family",
        "test_samples",
    )
    assert np.isnan(gap.margin)
    assert gap.statement == "A larger hidden width lowers the gap."
    assert (trace.expected, trace.margin) == ("equivalent", 0.2)
    assert trace.quantity == Quantity({"trace": 1}, True, "tr H")
    assert (trace.null.rule, trace.null.quantity.columns) == ("persists", {"trace_balanced": 1})


CLAIM = content()["claims"][0]
ROW = content()["grid"]["factors"]["width"]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("claims.0.statment", "twice", "claims.0: unknown key 'statment'; did you mean 'statement'"),
        ("grid.measures.gap.contrl", {}, "grid.measures.gap: unknown key 'contrl'; did you mean 'control'"),
        ("claims.0.why", None, "claims.0: 'why' is a required property"),
        ("claims.0.of", "theirs", "claims.means.of: got 'theirs', wanted one of ours, duality, "),
        ("claims.0.expected", "++", r"claims.0.expected: got '\+\+', wanted text of the form"),
        (
            "grid.factors.width.expected.gap",
            "equivalent",
            "grid.factors.width.expected.gap: got 'equivalent', wanted text",
        ),
        (
            "claims.0.statistic.kind",
            "median",
            "claims.means.statistic.kind: got 'median', wanted one of largest, mean, ",
        ),
        ("level", "0.05", "level: got '0.05', wanted .* YAML reads this as text: write 0.05"),
        ("level", 1, "level: got 1, wanted less than 1"),
        ("grid.factors.batchsize", ROW, "grid.factors: unknown factor 'batchsize': the factors are batch_size, "),
        (
            "grid.factors.width.expected.trace",
            None,
            r"grid.factors.width.expected: wanted every measure once; .* \['trace'\]",
        ),
        (
            "grid.factors.width.expected.size",
            "+",
            r"grid.factors.width.expected: wanted every measure once; .* \['size'\]",
        ),
        ("claims.0", CLAIM, "claims: the id 'means' is used 2 times"),
        ("claims.0.id", "width/gap", "claims: the id 'width/gap' is used 2 times"),
        ("claims.0.id", "The means", "claims.0.id: got 'The means', wanted text of the form"),
        ("claims.0.statistic", {"kind": "rank", "quantity": QUANTITY, "scope": "within"}, "kind 'rank' needs 'target'"),
        ("claims.0.statistic", {"kind": "rank", "quantity": QUANTITY, "target": QUANTITY}, "kind 'rank' needs 'scope'"),
        ("claims.0.statistic", {"kind": "trend", "quantity": QUANTITY}, "kind 'trend' needs 'factor'"),
        ("claims.0.statistic", {"kind": "mean"}, "claims.means.statistic: kind 'mean' needs 'quantity'"),
        ("claims.0.statistic", {"kind": "largest"}, "kind 'largest' needs 'columns'"),
        ("claims.0.statistic", {"kind": "none"}, "kind 'none' needs 'reason'"),
        (
            "claims.0.statistic",
            {"kind": "trend", "quantity": QUANTITY, "factor": "widht"},
            "claims.means.statistic: unknown factor 'widht': wanted batch_size, ",
        ),
        ("claims.0.statistic.factor", "width", "claims.means.statistic: unknown key 'factor'. The known keys are "),
        ("claims.0.statistic", {"kind": "acting", "factors": ["l2"], "through": ["gap"]}, "'l2' is not in the grid"),
        (
            "claims.0.statistic",
            {"kind": "acting", "factors": ["width"], "through": ["gab"]},
            "'gab' is not in the grid",
        ),
        ("claims.0.expected", "equivalent(1e)", r"claims.0.expected: got 'equivalent\(1e\)', wanted text of the form"),
        ("claims.0.control", {"name": "rescaling"}, "claims.means.control: the null 'rescaling' needs a quantity"),
        ("claims.0.control", {"name": "rescaling", "quantity": QUANTITY}, "claims.means.control: .* needs a rule"),
        (
            "grid.measures.gap.matched",
            "loss",
            "grid.measures.gap.matched: 'loss' is not in the grid, wanted gap, trace",
        ),
        ("grid.measures.trace.matched", "gap", "width.expected.gap: trace is matched in it: wanted equivalent"),
        ("grid.measures.trace.control.rule", None, "claims.width/trace.control: .* needs a rule"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(schema, place, value, message):
    with pytest.raises(InputError, match=message):
        read_claims(changed((place, value)), schema, SWEEPS)


def test_several_problems_are_reported_at_once(schema):
    with pytest.raises(InputError) as found:
        read_claims(changed(("level", 2), ("claims.0.expected", "up"), ("claims.0.whi", "so")), schema, SWEEPS)
    assert str(found.value).count("\n  - ") == 3
    with pytest.raises(InputError) as found:
        read_claims(changed(("claims.0.why", None), ("claims.0.statistic.kind", "rank")), schema, SWEEPS)
    for problem in ("'why' is a required property", "needs 'target'", "needs 'scope'"):
        assert problem in str(found.value)
    with pytest.raises(InputError) as found:
        read_claims(changed(("claims.0", CLAIM), ("grid.factors.batchsize", ROW)), schema, SWEEPS)
    for problem in ("'means' is used 2 times", "unknown factor 'batchsize'"):
        assert problem in str(found.value)


def test_a_quantity_is_a_product_of_powers():
    table = pd.DataFrame({"a": [2, 3], "b": [4.0, 0.5]})
    assert Quantity({"a": 2, "b": -1}, False, "").of(table).tolist() == [1.0, 18.0]
    assert Quantity({"a": 2, "b": -1}, True, "").of(table) == pytest.approx(np.log([1.0, 18.0]))


def test_a_quantity_without_a_finite_value_is_nan():
    table = pd.DataFrame({"a": [1.0, 0.0, np.nan, np.inf, -1.0], "b": [1.0, 0.0, 1.0, 1.0, 1.0]})
    nan = np.nan
    for columns, log, expected in (
        ({"a": 1}, False, [1.0, 0.0, nan, nan, -1.0]),
        ({"a": 1}, True, [0.0, nan, nan, nan, nan]),
        ({"a": -1}, False, [1.0, nan, nan, 0.0, -1.0]),
        ({"a": 1, "b": -1}, False, [1.0, nan, nan, nan, -1.0]),
        ({"a": 0.5}, False, [1.0, 0.0, nan, nan, nan]),
    ):
        assert np.array_equal(Quantity(columns, log, "").of(table), expected, equal_nan=True)


def test_a_quantity_of_a_column_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="lacks the columns b, c, which a claim reads"):
        Quantity({"a": 1, "b": 1, "c": 2}, False, "").of(pd.DataFrame({"a": [1.0]}))
