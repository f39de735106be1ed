"""What a kind of statistic is: one object that says what it needs, measures, and says itself in words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from awduality.claims.catalogue import Claim
from awduality.claims.statistics import equivalence_p, mean_p
from awduality.errors import InputError
from awduality.streams import stream
from awduality.study.contract import Setting

Row = dict[str, Any]
Shape = Mapping[str, Any]
"""A JSON schema."""

LEAST_SEEDS = 3
"""Fewer seeds give no verdict: an interval over two says nothing."""

RUNS = "runs"
"""The table with a row per run."""


@dataclass(frozen=True)
class Measured:
    """What was found for one claim."""

    values: np.ndarray  # (S,) one per seed; for an identity (1,)
    p: float = float("nan")
    n: int = 0  # rows that entered: runs, or pairs of them
    excluded: int = 0  # rows that did not: not converged, or without the number
    null_values: np.ndarray | None = None  # (S,) the same under the null
    null_interval: tuple[float, float] | None = None  # where the null gives an interval and no values
    against: str = ""  # the rival that decided
    details: list[dict[str, Any]] = field(default_factory=list)
    interval: tuple[float, float] | None = None  # where it is not Student's t-interval of the values
    choices: int = 1  # settings among which the sides were chosen, which p counts

    @property
    def estimate(self) -> float:
        """The mean over seeds."""
        return float(np.mean(self.values)) if len(self.values) else float("nan")


@dataclass(frozen=True)
class Tables:
    """The tables beside the figures, by name."""

    frames: Mapping[str, pd.DataFrame]
    root_seed: int
    settings: Mapping[str, Setting] = field(default_factory=dict)  # what runs differ in

    def __getitem__(self, name: str) -> pd.DataFrame:
        """A table; what it does not say of its runs is taken from the table of runs.

        Raises:
            InputError: there is no such table.
        """
        if name not in self.frames:
            raise InputError(f"there is no table {name!r} to judge from, only {', '.join(self.frames)}")
        return self._joined[name]

    @cached_property
    def _joined(self) -> dict[str, pd.DataFrame]:
        return {name: self._with_runs(name, table) for name, table in self.frames.items()}

    def _with_runs(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        runs = self.frames.get(RUNS)
        if name == RUNS or runs is None or not {"run"} <= set(table) & set(runs) or runs["run"].duplicated().any():
            return table
        missing = [column for column in runs if column not in table]
        joined: pd.DataFrame = table.join(runs.set_index("run")[missing], on="run")
        return joined

    def settings_of(self, table: pd.DataFrame) -> list[str]:
        """The columns of a table that are settings of its runs."""
        return [name for name in self.settings if name in table]


class Kind:
    """A kind of statistic. Its attributes are what a statistic must and may hold, each with its JSON schema."""

    needs: Mapping[str, Shape] = {}
    may: Mapping[str, Shape] = {}
    exact = False  # whether it is for identities, which hold by algebra
    ratios = True  # whether its effect is a logarithm of a ratio where its quantity is one
    equivalence = True  # whether it can be expected to find no effect

    def problems(self, claim: Claim, registry: Registry) -> Iterator[str]:
        """What no schema can say of a claim of this kind, each as ``<part>: <problem>``."""
        del claim, registry
        yield from ()

    def reads(self, claim: Claim) -> Mapping[str, Iterable[str]]:
        """Table → the columns that the claim reads of it."""
        del claim
        return {}

    def measure(self, claim: Claim, tables: Tables) -> Measured | str | None:
        """What is found for a claim; else why nothing can be, or None where there are no runs."""
        raise NotImplementedError

    def words(self, claim: Claim) -> str:
        """What is measured, in words."""
        raise NotImplementedError

    def decide(self, claim: Claim, rows: Mapping[str, Row]) -> Row:
        """What the verdicts on other claims, by id, make of this one; nothing for a claim that has been measured."""
        del claim, rows
        return {}


class Untested(Kind):
    """A claim that is not tested, with the reason."""

    needs: Mapping[str, Shape] = {"reason": {"type": "string", "description": "why there is no test"}}

    def measure(self, claim: Claim, tables: Tables) -> None:
        """Nothing."""
        del claim, tables

    def words(self, claim: Claim) -> str:
        """No statistic."""
        del claim
        return "none"


Parts = Callable[[Tables], Iterator[tuple[Row, Tables]]]
"""The parts of the tables that are judged each on its own (a layer, say), with the labels of their verdicts."""


def whole(tables: Tables) -> Iterator[tuple[Row, Tables]]:
    """All tables as one part, labelled by config and dataset."""
    runs = tables.frames.get(RUNS, pd.DataFrame())
    yield {name: str(runs[name].iloc[0]) for name in ("config", "dataset") if name in runs and len(runs)}, tables


@dataclass(frozen=True)
class Registry:
    """The kinds of statistic that claims of a study may have, and what else the study says of its claims."""

    kinds: Mapping[str, Kind]
    settings: Mapping[str, Setting] = field(default_factory=dict)  # what its runs differ in
    experiments: Mapping[str, str] = field(default_factory=dict)  # those that claims may name; none: any
    paper: Mapping[str, str] = field(default_factory=dict)  # claims of the paper, beside those that the file names
    forms: Collection[str] = ()  # keys of the file that state claims in a way of the study's own
    further: Callable[[Mapping[str, Any]], Iterable[Mapping[str, Any]]] = lambda _: ()  # content → entries of such
    problems: Callable[[Mapping[str, Any]], Iterable[str]] = lambda _: ()  # of what the content states in its own way
    parts: Parts = whole


def p_of(claim: Claim, values: np.ndarray) -> float:
    """The p-value of a claim on the mean of (S,) values, one per seed: of an effect, or of none beyond a margin."""
    return equivalence_p(values, claim.margin) if claim.expected == "equivalent" else mean_p(values)


def claim_stream(claim: Claim, root_seed: int, purpose: str) -> np.random.Generator:
    """Random numbers that depend on the root seed and the claim's id, not on which other claims are tested."""
    index = int.from_bytes(hashlib.sha256(claim.id.encode()).digest()[:6], "big")
    return stream(root_seed, purpose, index)
