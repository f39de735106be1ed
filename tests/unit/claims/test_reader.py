"""Claims of a study as a file: what is refused, with its place, and all of it at once."""

import pytest

from awduality.claims.catalogue import read_claims
from awduality.claims.judge import KINDS, kinds_of
from awduality.errors import InputError
from awduality.study.discovery import study_names
from tests.unit.claims.companion import REGISTRY, content, entry, quantity, read, row, runs, schema, verdicts

MEAN = {"kind": "mean", "quantity": quantity("v")}
COMPARED = {"kind": "compared", "quantity": quantity("v"), "of": {"arm": "none"}, "against": {"arm": "minibatch"}}
SHARE = {"kind": "share", "of": {"arm": "none"}, "against": {"arm": "minibatch"}, "column": "v"}


@pytest.mark.parametrize(
    ("statistic", "message"),
    [
        ({"kind": "maen"}, "claims.one.statistic.kind: got 'maen', wanted one of .*; did you mean 'mean'"),
        ({"kind": "mean"}, "claims.one.statistic: kind 'mean' needs 'quantity'"),
        ({**MEAN, "tabel": "runs"}, "claims.one.statistic: unknown key 'tabel'; did you mean 'table'"),
        ({**MEAN, "over": "rate"}, "claims.one.statistic: unknown key 'over'"),
        ({**MEAN, "minus": "2"}, "claims.one.statistic.minus: got '2', wanted a finite number .* write 2"),
        ({**MEAN, "quantity": quantity("v", log=True), "minus": 0}, "one.statistic.minus: got 0, wanted more than 0"),
        ({**MEAN, "quantity": {"column": "v"}}, "claims.one.statistic.quantity: unknown key 'column'"),
        ({**MEAN, "runs": "some"}, "claims.one.statistic.runs: got 'some', wanted one of"),
        (
            {**MEAN, "experiments": ["mian"]},
            "statistic.experiments: got 'mian', wanted one of main, side; did you mean",
        ),
        ({**MEAN, "where": {"arm": "nun"}}, "statistic.where.arm: got 'nun', wanted one of minibatch, none, injected"),
        ({**COMPARED, "of": {"arm": ["none", "x"]}}, "claims.one.statistic.of.arm: got 'x', wanted one of minibatch"),
        ({**COMPARED, "of": {}}, "claims.one.statistic.of: got {}, wanted at least 1 entries"),
        ({**COMPARED, "kind": "contrast"}, "kind 'contrast' needs 'between'"),
        ({**COMPARED, "kind": "contrast", "between": [{"arm": "y"}] * 2}, "statistic.between.0.arm: got 'y', wanted"),
        (SHARE, "claims.one.statistic: kind 'share' needs 'most' or 'least', one of the two"),
        ({**SHARE, "most": 1, "least": 0}, "kind 'share' needs 'most' or 'least', one of the two"),
        ({"kind": "slope", "quantity": quantity("v")}, "kind 'slope' needs 'on'"),
        ({"kind": "rank", "quantity": quantity("v")}, "kind 'rank' needs 'target'"),
        ({"kind": "trend", "quantity": quantity("v")}, "kind 'trend' needs 'over'"),
        ({"kind": "none"}, "kind 'none' needs 'reason'"),
    ],
)
def test_what_is_wrong_with_a_statistic_is_named_with_its_place(statistic, message):
    with pytest.raises(InputError, match=message):
        read(entry(statistic))


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ({"of": "noize"}, "claims.one.of: got 'noize', wanted one of ours, noise; did you mean 'noise'"),
        ({"identity": True}, "claims.one: an identity has a statistic of kind 'largest' and expects equivalent"),
        ({"headline": ""}, "claims.0.headline: got '', wanted some text"),
        ({"control": {"name": "shuffled"}}, "claims.one.control: the null 'shuffled' needs a quantity"),
        ({"expected": "more"}, "claims.0.expected: got 'more', wanted text of the form"),
        ({"name": "One claim"}, "claims.0.id: got 'One claim', wanted text of the form"),
    ],
)
def test_what_is_wrong_with_a_claim_is_named_with_its_place(rest, message):
    with pytest.raises(InputError, match=message):
        read(entry(MEAN, **rest))


def test_a_largest_value_is_of_an_identity():
    with pytest.raises(InputError, match="an identity has a statistic of kind 'largest'"):
        read(entry({"kind": "largest", "columns": ["v"]}))


def test_ids_are_used_once():
    with pytest.raises(InputError, match="the id 'one' is used 2 times"):
        read(entry(MEAN), entry(MEAN))


def test_a_claim_may_be_ours_and_needs_no_paper():
    claims = {key: value for key, value in content(entry(MEAN, of="ours")).items() if key != "paper"}
    assert read_claims(claims, schema(), REGISTRY).claims[0].of == "ours"


def test_a_grid_is_for_studies_that_take_it_in():
    grid = {"why": "x", "measures": {"v": {"words": "v", "quantity": quantity("v"), "control": {"name": "rivals"}}}}
    row = {"of": "noise", "known_from": "abstract", "expected": {"v": "+"}}
    with pytest.raises(InputError, match="grid: this study has no claims of this form"):
        read_claims({**content(entry(MEAN)), "grid": {**grid, "factors": {"rate": row}}}, schema(), REGISTRY)


def test_all_problems_of_a_file_are_told_at_once():
    with pytest.raises(InputError) as found:
        read(
            entry({**MEAN, "tabel": "x"}, "a", expected="up"),
            entry({"kind": "rank"}, "b"),
            entry({"kind": "median"}, "c"),
        )
    for problem in ("'up', wanted", "'tabel'", "needs 'quantity'", "needs 'target'", "'median', wanted one of"):
        assert problem in str(found.value)
    with pytest.raises(InputError) as found:
        read(entry({**MEAN, "experiments": ["x"]}, of="nose"), entry(SHARE), entry(MEAN, "c", control={"name": "y"}))
    for problem in (
        "'one' is used 2 times",
        "got 'nose'",
        "got 'x', wanted one of main",
        "'most' or 'least'",
        "'y' needs",
    ):
        assert problem in str(found.value)


def test_all_tables_and_columns_that_are_missing_are_told_at_once():
    table = runs(lambda *_: {"value": 1.0})
    entries = [
        entry(MEAN, "a"),
        entry({**MEAN, "table": "spectra"}, "b"),
        entry({**COMPARED, "matched": ["rat"]}, "c"),
        entry({"kind": "mean", "quantity": quantity("valu"), "where": {"colour": 1}}, "d"),
    ]
    with pytest.raises(InputError) as found:
        verdicts({"runs": table, "spectrum": table}, *entries)
    for problem in (
        "claims.a.statistic: the table runs lacks the column 'v'",
        "claims.b.statistic.table: there is no table 'spectra' among those that claims are judged from, runs, "
        "spectrum; did you mean 'spectrum'?",
        "claims.c.statistic: the table runs lacks the column 'rat'; did you mean 'rate'?",
        "claims.d.statistic: the table runs lacks the column 'valu'; did you mean 'value'?",
        "claims.d.statistic: the table runs lacks the column 'colour'",
    ):
        assert problem in str(found.value)


def test_every_study_has_the_kinds_of_the_frame_and_may_replace_them():
    for name in study_names():
        assert set(KINDS) <= set(kinds_of(name).kinds)
    assert type(kinds_of("learners").kinds["share"]) is not type(KINDS["share"])
    assert isinstance(kinds_of("sweeps").kinds["trend"], type(KINDS["trend"]))


def test_every_kind_says_what_it_holds():
    for name in study_names():
        for kind, one in kinds_of(name).kinds.items():
            for part, shape in {**one.needs, **one.may}.items():
                assert shape.keys() & {"description", "$ref"}, (kind, part)
            assert not set(one.needs) & set(one.may), kind


def test_a_claim_of_every_kind_says_itself_in_words():
    table = runs(lambda arm, rate, batch, seed: {"v": rate + seed, "w": seed + 1.0})
    found = row(table, {**MEAN, "where": {"rate": [0.1, 0.2]}, "experiments": ["main"], "runs": "all"})
    assert found["statistic"] == "mean over seeds of v, where rate = 0.1 or 0.2, in main, all runs"
