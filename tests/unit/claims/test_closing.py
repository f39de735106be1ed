"""What a run tells at its end."""

import json

import pytest

from awduality.claims.closing import WIDTH, Judged, closing, headlines
from awduality.claims.report import HEADLINES, STUDY_CLAIM
from awduality.claims.words import Verdicts


@pytest.fixture(scope="module")
def committed(root):
    return {name: json.loads((root / f"figures/{name}/claims.json").read_text()) for name in ("digits", "mnist")}


def row(name, **changes):
    """A claim as the judge writes it."""
    plain = {
        "id": name,
        "p_adjusted": 0.04,
        "layer": "fc2",
        "identity": False,
        "verdict": "supported",
        "estimate": 0.5,
        "scale": "linear",
    }
    return plain | {"interval": [0.25, 0.75], "n": 5} | changes


@pytest.mark.parametrize("config", ["digits", "mnist"])
def test_the_papers_headlines_are_the_rows_of_the_readme(root, committed, config):
    wanted = [words for claim, tests in HEADLINES.items() if claim != STUDY_CLAIM for words in tests.values()]
    found = headlines(committed[config])
    assert [words for words, _, _ in found] == wanted
    verdicts = Verdicts.read(root / "figures" / config)
    names = [name for claim, tests in HEADLINES.items() if claim != STUDY_CLAIM for name in tests]
    assert [effect for _, _, effect in found] == [verdicts.found(name) for name in names]


def test_claims_with_a_headline_are_shown_and_no_others():
    rows = [row("a", headline="variance follows curvature (exponent)"), row("b"), row("duality", headline="exact")]
    assert headlines(rows) == [
        ("variance follows curvature (exponent)", "supported", "+0.500 [+0.250, +0.750]"),
        ("exact", "supported", "+0.500 [+0.250, +0.750]"),
    ]


def test_what_is_inconclusive_has_its_p_value():
    rows = [row("a", headline="this", verdict="inconclusive", interval=[-0.25, 1.25], p_adjusted=0.3)]
    assert headlines(rows) == [("this", "inconclusive", "+0.500 [−0.250, +1.250], adjusted p 0.300")]


def test_of_several_layers_the_first_is_shown():
    rows = [row("a", headline="this"), row("a", headline="this", layer="fc1", verdict="contradicted")]
    assert [verdict for _, verdict, _ in headlines(rows)] == ["supported"]


def test_every_config_is_a_block_with_its_figures_and_the_next_command_comes_last(committed):
    long = row("a", headline=" ".join(["a claim in very many words"] * 6), verdict="not distinguishable from the null")
    text = closing(
        [
            Judged("digits", "Activity–weight duality " * 6, committed["digits"], "figures/digits"),
            Judged("mine-quick", "Mine", [long], "figures/mine-quick"),
        ],
        following=["snakemake audit", "snakemake --report report.html"],
    )
    lines = text.splitlines()
    assert all(len(line) <= WIDTH for line in lines)
    assert lines[0].startswith("digits: Activity–weight duality ")
    assert lines[0].endswith("…")
    assert "mine-quick: Mine" in lines
    assert [line for line in lines if line.startswith("  figures: ")] == [
        "  figures: figures/digits",
        "  figures: figures/mine-quick",
    ]
    assert lines[-2:] == ["next: snakemake audit", "      snakemake --report report.html"]
    ends = [line for line in lines if "as the null     " in line or "supported       " in line]
    assert len({line.rindex("  ", 0, line.index("[")) for line in ends if "[" in line}) == 1  # in columns
    words = " ".join(line.strip() for line in lines[lines.index("mine-quick: Mine") + 1 :])
    assert "as the null" in words
    assert words.count("very") == 6


def test_without_verdicts_it_says_so():
    assert closing([Judged("mine", "Mine", [], "figures/mine")], following=()).splitlines() == [
        "mine: Mine",
        "  no verdicts",
        "  figures: figures/mine",
    ]
