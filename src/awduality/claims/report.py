"""Verdicts in words and tables, for the README and for docs/replication.md: no number there is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from awduality.claims.words import SIGNS, Row, Verdicts, in_grid, short
from awduality.errors import InputError
from awduality.study.discovery import DEFAULT, study

INTERVAL = "95%"
"""Coverage of all intervals, as ``awduality.claims.statistics`` makes them."""

HEADLINES: Mapping[str, Mapping[str, str]] = {
    "duality": {"duality": "the duality is exact (largest error)"},
    "decomposition": {
        "decomposition": "the gap is the sum (largest error)",
        "means": "means negligible (share of the sum)",
        "constancy": "c nearly constant (sharpest ÷ flattest)",
    },
    "size-norm": {"size-norm": "size follows the weight norm (rank correlation)"},
    "codeterminants": {
        "codeterminants/sharpness": "λ₁ ranks the gaps at equal size (partial rank correlation)",
        "codeterminants/size": "… size at equal λ₁",
        "codeterminants/held-out": "a law of both predicts a factor left out (error of the next best law ÷ error)",
        "codeterminants": "λ₁ Σσ_w² ranks the gaps best (lead in rank correlation)",
        "codeterminants/within": "… within each factor",
    },
    "factors": {"factors": "each moves the gap, and sharpness or size with it"},
    "init-scale": {"init-scale": "larger scale, larger weights (ratio)", "init_scale/gap": "… and larger gap (nats)"},
    "multi-learner": {
        "large/top-eigenvalue": "DPSGD against SSGD: smaller λ₁ (ratio)",
        "large/size": "… same size (ratio)",
        "large/gap": "… smaller gap (nats)",
    },
}
"""The claims of the paper, and the tests that stand for each in the README."""

STUDY_CLAIM = "multi-learner"
"""The one of them that studies of many learners test, and no other config."""

LEARNERS_TOLD = "mnist"
"""The data of the study whose effects the README tells of that claim."""


_COMPARED = ("sigma_g_total", "sigma_w_total", "top_eigenvalue", "gap", "test_error")


def paper_table(configs: Mapping[str, Verdicts], studies: Mapping[str, Verdicts], effects_of: str) -> str:
    """A row per claim of the paper, in Markdown: the verdict under each config, and the effect in one of them.

    Args:
        configs: verdicts by config.
        studies: of the studies of many learners; the one called ``<config>-learners`` stands in the column of a config.
        effects_of: the config whose effects are shown; of claims of the studies those in the last column are.
    """
    lines = [["claim", "tested", *configs, f"effect ({effects_of})"]]
    for claim, tests in HEADLINES.items():
        shown, told = dict(configs), effects_of
        if claim == STUDY_CLAIM:
            shown = {name: studies[f"{name}-learners"] for name in configs if f"{name}-learners" in studies}
            told = LEARNERS_TOLD if LEARNERS_TOLD in shown else next(iter(shown), "")
        cells = [[f"`{claim}`"], list(tests.values())]
        for name in configs:
            cells.append([_said(shown[name], test) for test in tests] if name in shown else ["not run"])
        note = "" if told == effects_of else f" ({told})"
        cells.append([f"{shown[told].effect(test)}{note}" for test in tests if told in shown])
        lines.append(["<br>".join(cell) for cell in cells])
    return markdown_table(lines)


def _said(verdicts: Verdicts, name: str) -> str:
    """The verdict; of one that is inconclusive the effect and the p-value, too."""
    inconclusive = verdicts.rows[name]["verdict"] == "inconclusive"
    return f"{short(verdicts, name)}: {verdicts.found(name)}" if inconclusive else short(verdicts, name)


def with_results(text: str, table: str, part: str = "results") -> str:
    """A document with the table between the two marks of a part.

    Raises:
        InputError: a mark is missing.
    """
    start, end = f"<!-- {part}: written by scripts/write_documents.py -->\n", f"<!-- end of {part} -->\n"
    before, _, rest = text.partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise InputError(f"the README lacks the lines {start.strip()!r} and {end.strip()!r}: put them back")
    return f"{before}{start}{table}{end}{after}"


def claims_table(configs: Mapping[str, Verdicts]) -> str:
    """A row per claim outside the grid: statement, and under each config verdict, effect and null."""
    lines = [["claim", "statement", "expected", *configs]]
    names = [name for name, row in next(iter(configs.values())).rows.items() if not in_grid(row)]
    for name in names:
        row = next(iter(configs.values())).rows[name]
        cells = []
        for verdicts in configs.values():
            parts = [verdicts.verdict(name)]
            if verdicts.effect(name) != "–":
                parts.append(verdicts.found(name))
            if verdicts.null(name) != "–":
                against = verdicts.rows[name]["against"] or str(row["null"]).replace("_", " ")
                parts.append(f"{against}: {verdicts.null(name)}")
            cells.append("<br>".join(parts))
        expected = "identity" if row["identity"] else row["expected"]
        lines.append([f"`{name}`", row["statement"], expected, *cells])
    return markdown_table(lines)


def side_by_side(columns: Mapping[str, Verdicts], measures: Sequence[str] = _COMPARED) -> str:
    """A row per claim and a column per layer or config: the effect and the sign of its verdict (``SIGNS``).

    Claims that no column could test are left out, and of the grid all measures but those given.
    """
    lines = [["claim", *columns]]
    for name, row in next(iter(columns.values())).rows.items():
        shown = not in_grid(row) or name.partition("/")[2] in measures
        if shown and any(verdicts.rows[name]["estimate"] is not None for verdicts in columns.values()):
            cells = [f"{found.found(name)} {SIGNS[found.rows[name]['verdict']]}" for found in columns.values()]
            lines.append([f"`{name}`", *cells])
    return markdown_table(lines)


def grid_table(verdicts: Verdicts) -> str:
    """A row per factor and a column per measure: the effect and the sign of its verdict (``SIGNS``)."""
    measures = list(dict.fromkeys(name.partition("/")[2] for name, row in verdicts.rows.items() if in_grid(row)))
    lines = [["factor", *(f"`{measure}`" for measure in measures), "runs left out"]]
    for factor, entry in study(DEFAULT).settings.items():
        names = [f"{factor}/{measure}" for measure in measures]
        rows = [verdicts.rows[name] for name in names if name in verdicts.rows]
        if any(row["estimate"] is not None for row in rows):
            cells = [_cell(verdicts, row) for row in rows]
            kept, left_out = next((row["n"], row["excluded"]) for row in rows if row["n"] is not None)
            lines.append([entry.plain, *cells, f"{left_out} of {kept + left_out}"])
    return markdown_table(lines)


def _cell(verdicts: Verdicts, row: Row) -> str:
    """The effect and the sign of a verdict; of one that is inconclusive interval and p-value, too."""
    if row["estimate"] is None:
        return SIGNS[row["verdict"]]
    inconclusive = row["verdict"] == "inconclusive"
    effect = verdicts.found(row["id"]) if inconclusive else verdicts.effect(row["id"]).partition(" [")[0]
    return f"{effect} {SIGNS[row['verdict']]}"


def legend() -> str:
    """What the signs of verdicts mean."""
    return ", ".join(f"{sign} {verdict}" for verdict, sign in SIGNS.items())


def against_expectation(configs: Mapping[str, Verdicts]) -> str:
    """A bullet per claim that was contradicted under some config, in Markdown; or the word that none was."""
    bullets = [
        f"- {config}, `{name}`: expected {row['expected']}, found {verdicts.effect(name)}, "
        f"adjusted p {verdicts.p(name)}."
        for config, verdicts in configs.items()
        for name, row in verdicts.rows.items()
        if row["verdict"] == "contradicted"
    ]
    return "\n".join(bullets) or "None."


def not_confirmed(exploration: Verdicts, confirmation: Verdicts) -> str:
    """A bullet per claim that the exploration supports and the confirmation does not, in Markdown."""
    bullets = [
        f"- `{name}`: {exploration.effect(name)} in the exploration; in the confirmation {confirmation.verdict(name)}, "
        f"{confirmation.effect(name)}, adjusted p {confirmation.p(name)}."
        for name, row in exploration.rows.items()
        if row["verdict"] == "supported" and confirmation.rows[name]["verdict"] != "supported"
    ]
    return "\n".join(bullets) or "None."


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells as a table in Markdown, the first line its head."""
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    rows = [f"| {' | '.join(line)} |" for line in escaped]
    return "\n".join([rows[0], "|" + "---|" * len(lines[0]), *rows[1:]]) + "\n"
