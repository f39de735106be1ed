"""Verdicts in words and tables, for the README and for docs/replication.md: no number there is typed by hand."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal
from pathlib import Path
from typing import Any

from awduality.errors import InputError
from awduality.files import read_json
from awduality.study.discovery import DEFAULT, study

Row = Mapping[str, Any]

SIGNS = {
    "supported": "✓",
    "contradicted": "✗",
    "not distinguishable from the null": "≈",
    "inconclusive": "·",
    "not tested": "–",
}

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


@dataclass(frozen=True)
class Verdicts:
    """The claims of one config, of one layer."""

    rows: Mapping[str, Row]

    @classmethod
    def read(cls, folder: Path) -> Verdicts:
        """Read the verdicts on the first layer from ``figures/<config>/claims.json``; see ``every_layer``."""
        return next(iter(cls.every_layer(folder).values()))

    @classmethod
    def every_layer(cls, folder: Path) -> dict[str, Verdicts]:
        """Read ``figures/<config>/claims.json``: the verdicts on every layer, by name.

        Raises:
            InputError: there are no verdicts.
        """
        path = folder / "claims.json"
        if not path.exists():
            raise InputError(f"{path} does not exist: run the pipeline with this config, or snakemake claims")
        rows = read_json(path)
        layers = dict.fromkeys(row.get("layer", "") for row in rows)
        return {layer: cls({row["id"]: row for row in rows if row.get("layer", "") == layer}) for layer in layers}

    def verdict(self, name: str) -> str:
        """The verdict in words; of an identity, whether it holds."""
        row = self.rows[name]
        if row["identity"]:
            return "identity holds" if row["verdict"] == "supported" else "identity fails"
        return str(row["verdict"])

    def effect(self, name: str) -> str:
        """The estimate with its 95% interval; ratios as factors; of an identity the largest error."""
        row = self.rows[name]
        if row["estimate"] is None:
            return "–"
        if row["identity"]:
            return f"error ≤ {_bound(row['estimate'])}"
        if row["interval"] is None:
            return f"{row['estimate']:.0f} of {row['n']}"
        low, high = (_number(end, row["scale"]) for end in row["interval"])
        return f"{_number(row['estimate'], row['scale'])} [{low}, {high}]"

    def null(self, name: str) -> str:
        """What the null gives, with its interval, or the interval alone."""
        row = self.rows[name]
        if row["null_value"] is None and row["null_interval"] is None:
            return "–"
        interval = ""
        if row["null_interval"] is not None:
            low, high = (_number(end, row["scale"]) for end in row["null_interval"])
            interval = f"[{low}, {high}]"
        return f"{'' if row['null_value'] is None else _number(row['null_value'], row['scale'])} {interval}".strip()

    def p(self, name: str) -> str:
        """The p-value, adjusted for the family."""
        return _p(self.rows[name]["p_adjusted"])

    def count(self, verdict: str, *, grid: bool) -> int:
        """How many claims have this verdict, in the grid or outside; identities are not counted."""
        return self._counts(grid)[verdict]

    def tested(self, *, grid: bool) -> int:
        """How many claims were tested, identities left out."""
        counts = self._counts(grid)
        return counts.total() - counts["not tested"]

    def predictor(self, name: str, label: str, factor: str | None = None) -> str:
        """A number of the details of a claim with its interval: the rank correlation of one predictor, say."""
        for entry in self.rows[name]["details"]:
            if (entry["predictor"], entry.get("factor")) == (label, factor):
                low, high = entry["interval"]
                return f"{entry['estimate']:.2f} [{low:.2f}, {high:.2f}]".replace("-", "−")
        raise InputError(f"claim {name} has no predictor {label!r}")

    def through(self, factor: str) -> str:
        """The measures through which a factor acts, from the details of the claim ``factors``."""
        (entry,) = [entry for entry in self.rows["factors"]["details"] if entry["factor"] == factor]
        return ", ".join(entry["through"]) or "none"

    def _counts(self, grid: bool) -> Counter[str]:
        rows = [row for row in self.rows.values() if _in_grid(row) == grid and not row["identity"]]
        return Counter(row["verdict"] for row in rows)


def first_layer(rows: Sequence[Row]) -> dict[str, Row]:
    """The claims of the first layer by id, from the rows of ``claims.json``."""
    return {row["id"]: row for row in rows if row.get("layer") == rows[0].get("layer")}


def _bound(value: float) -> str:
    """A number of one digit that is not smaller."""
    return f"{Decimal(value).normalize(Context(prec=1, rounding=ROUND_CEILING)):.0e}"


def _in_grid(row: Row) -> bool:
    return row["id"].partition("/")[0] in study(DEFAULT).settings


def _number(value: float | None, scale: str) -> str:
    if value is None:
        return "–"
    if scale == "log":
        return f"×{math.exp(value):.2f}"
    text = f"{value:+.3f}" if abs(value) < 10 else f"{value:+.1f}"
    return text.replace("-", "−")


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


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
            cells.append([short(shown[name], test) for test in tests] if name in shown else ["not run"])
        note = "" if told == effects_of else f" ({told})"
        cells.append([f"{shown[told].effect(test)}{note}" for test in tests if told in shown])
        lines.append(["<br>".join(cell) for cell in cells])
    return markdown_table(lines)


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


def short(verdicts: Verdicts, name: str) -> str:
    """A verdict in at most three words."""
    words = verdicts.verdict(name)
    return {"not distinguishable from the null": "as the null"}.get(words, words)


def claims_table(configs: Mapping[str, Verdicts]) -> str:
    """A row per claim outside the grid: statement, and under each config verdict, effect and null."""
    lines = [["claim", "statement", "expected", *configs]]
    names = [name for name, row in next(iter(configs.values())).rows.items() if not _in_grid(row)]
    for name in names:
        row = next(iter(configs.values())).rows[name]
        cells = []
        for verdicts in configs.values():
            parts = [verdicts.verdict(name)]
            if verdicts.effect(name) != "–":
                parts.append(verdicts.effect(name))
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
        shown = not _in_grid(row) or name.partition("/")[2] in measures
        if shown and any(verdicts.rows[name]["estimate"] is not None for verdicts in columns.values()):
            cells = [f"{found.effect(name)} {SIGNS[found.rows[name]['verdict']]}" for found in columns.values()]
            lines.append([f"`{name}`", *cells])
    return markdown_table(lines)


def grid_table(verdicts: Verdicts) -> str:
    """A row per factor and a column per measure: the effect and the sign of its verdict (``SIGNS``)."""
    measures = list(dict.fromkeys(name.partition("/")[2] for name, row in verdicts.rows.items() if _in_grid(row)))
    lines = [["factor", *(f"`{measure}`" for measure in measures), "runs left out"]]
    for factor, entry in study(DEFAULT).settings.items():
        names = [f"{factor}/{measure}" for measure in measures]
        rows = [verdicts.rows[name] for name in names if name in verdicts.rows]
        if any(row["estimate"] is not None for row in rows):
            cells = [f"{_number(row['estimate'], row['scale'])} {SIGNS[row['verdict']]}" for row in rows]
            kept, left_out = (rows[0][name] for name in ("n", "excluded"))
            lines.append([entry.plain, *cells, f"{left_out} of {kept + left_out}"])
    return markdown_table(lines)


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
