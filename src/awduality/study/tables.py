"""What a step per study is run by: from the results of all shards to the tables beside the figures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from awduality.commandline import parse, recorded, run
from awduality.files import read_arrays, read_frame, read_json, read_table, write_table
from awduality.runs import Run
from awduality.study.step import arrays_of, running, split_from

if TYPE_CHECKING:
    import pandas as pd

    from awduality.data.splits import Split

Row = dict[str, Any]
Rows = Sequence[Row] | tuple[Sequence[Row], Sequence[str]]
"""Rows, or rows and the names of their columns, which a table without rows needs."""


@dataclass(frozen=True)
class Planned:
    """A run as the plan has it, and how it ended."""

    run: Run
    shard: str
    experiments: Sequence[str]
    ended: str

    @property
    def id(self) -> str:
        """Its id."""
        return self.run.id

    @property
    def settings(self) -> dict[str, Any]:
        """What tells it from other runs, beside its seed."""
        return self.run.settings

    @property
    def seed(self) -> int:
        """Its seed index."""
        return self.run.seed


@dataclass(frozen=True)
class Results:
    """The results of a config, ``results/<config>/``."""

    folder: Path
    asked: Mapping[str, Any]  # the keys that the step reads, by their last part, and root_seed
    steps: Mapping[str, Path]  # step → the folder of its files; the first is the one that says how runs ended
    split_file: Path | None = None

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved config."""
        return dict(read_json(self.folder / "config.json"))

    @cached_property
    def plan(self) -> list[dict[str, Any]]:
        """The entries of the plan, in its order."""
        return list(read_json(self.folder / "plan.json")["runs"])

    @cached_property
    def runs(self) -> list[Planned]:
        """Every run in the order of the plan; one without a row has ended as ``none``."""
        ended = {row["run"]: row["ended"] for row in self.rows(next(iter(self.steps)))}
        return [
            Planned(Run(p["settings"], p["seed"]), p["shard"], p["experiments"], ended.get(p["id"], "none"))
            for p in self.plan
        ]

    @cached_property
    def labels(self) -> dict[str, str]:
        """The name of the config and, where there is data, of its dataset: they stand in every table."""
        return labels_of(self.folder)

    @cached_property
    def split(self) -> Split:
        """The data."""
        return split_from(self.split_file)

    @property
    def shards(self) -> list[str]:
        """The names of all shards, sorted."""
        return sorted({entry["shard"] for entry in self.plan})

    def rows(self, step: str) -> list[dict[str, str]]:
        """All rows of a step, shard by shard, every cell as text."""
        place = self.steps[step]
        files = (place / f"{shard}.csv" for shard in self.shards)  # a step for one group of shards has some of them
        return [row for file in files if file.is_file() for row in read_table(file)]

    def frame(self, step: str) -> pd.DataFrame:
        """All rows of a step as a data frame, numbers to the last bit; ids stay text."""
        import pandas as pd

        table = pd.DataFrame(self.rows(step), dtype=object)
        for name in table.columns.drop("run", errors="ignore"):
            try:
                table[name] = [float(cell) if cell else np.nan for cell in table[name]]
            except ValueError:
                continue  # words
        return table

    @cached_property
    def _arrays(self) -> dict[tuple[str, str], dict[str, np.ndarray]]:
        return {}

    def arrays(self, step: str, one: Planned, part: str = "") -> dict[str, np.ndarray]:
        """Name → array of one run, of those whose name begins with ``<part>/`` if a part is given."""
        key = (step, one.shard)
        if key not in self._arrays:
            self._arrays[key] = read_arrays(self.steps[step] / f"{one.shard}.safetensors")
        return arrays_of(self._arrays[key], one.run, part)

    def array(self, step: str, one: Planned, name: str) -> np.ndarray:
        """One array of one run."""
        return self.arrays(step, one)[name]


def labels_of(folder: Path) -> dict[str, str]:
    """The name of the config in ``results/<config>/`` and, where there is data, that of its dataset."""
    config = read_json(folder / "config.json")
    if "data" not in config:
        return {"config": config["name"]}
    dataset = config["data"]["source"]
    if dataset == "image_folder":  # the name of what lies in it
        dataset = read_json(folder / "data" / "image_folder.json")["title"]
    return {"config": config["name"], "dataset": dataset}


def run_rows(results: Results, *steps: str) -> list[Row]:
    """A row per run in the order of the plan: labels, settings, how it ended, and what the steps say of it.

    Args:
        results: of the config.
        steps: steps with one row per run at most; by default the first.
    """
    said: dict[str, Row] = {}
    names: dict[str, None] = {}
    for step in steps or [next(iter(results.steps))]:
        for row in results.rows(step):
            said.setdefault(row["run"], {}).update(row)
            names |= dict.fromkeys(row)
    rows = []
    for one in results.runs:
        head: Row = {**results.labels, "run": one.id, "experiments": " ".join(one.experiments)}
        head |= {**one.settings, "seed": one.seed, "ended": one.ended}
        measured = {name: said.get(one.id, {}).get(name, "") for name in names if name not in head}
        rows.append({**head, **measured})
    return rows


def labelled(results: Results, one: Planned) -> Row:
    """How a row of any table begins: config, run, settings, seed."""
    return {**results.labels, "run": one.id, **one.settings, "seed": one.seed}


def per_sample(columns: Mapping[str, np.ndarray]) -> list[Row]:
    """A row per test sample, of (T,) numbers by name, rounded to seven digits: they are only resampled."""
    count = max(map(len, columns.values()), default=0)
    return [
        {"sample": place, **{name: float(f"{column[place]:.7g}") for name, column in columns.items()}}
        for place in range(count)
    ]


def by_setting(table: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The rows of every setting of these columns, and the setting."""
    for values, rows in table.groupby(list(names), sort=True):
        yield dict(zip(names, values, strict=True)), rows


def table_step(work: Callable[[Results], Mapping[str, Rows]]) -> None:
    """Run a step per study as a program.

    Args:
        work: gives the rows of every table that the step declares.
    """
    run(recorded(partial(perform, work, *running())))


def perform(
    work: Callable[[Results], Mapping[str, Rows]], study: str, step: str, argv: list[str] | None = None
) -> None:
    """Do the work of a step per study and write its tables."""
    parser = argparse.ArgumentParser(prog=f"studies/{study}/{step}.py", description=work.__doc__)
    parser.add_argument("--results", required=True, type=Path, help="results/<config>")
    parser.add_argument("--asked", required=True, type=json.loads, metavar="JSON", help="what it reads of the config")
    parser.add_argument("--split", type=Path, help="the data, from prepare_data.py, if the step reads it")
    parser.add_argument("--before", required=True, nargs="+", metavar="STEP=FOLDER", help="where steps wrote, in order")
    _out(parser)
    arguments = parse(parser, argv)
    steps = {name: Path(folder) for name, folder in (item.split("=") for item in arguments.before)}
    _write(arguments.out, work(Results(arguments.results, arguments.asked, steps, arguments.split)))


def derived_step(work: Callable[[Mapping[str, pd.DataFrame], Mapping[str, Any]], Mapping[str, Rows]]) -> None:
    """Run a step that makes tables from tables beside the figures as a program.

    Args:
        work: gives the rows of every table that the step declares, from the tables that it reads, by name, and what it
            asked of the config.
    """
    run(recorded(partial(derive, work, *running())))


def derive(
    work: Callable[[Mapping[str, pd.DataFrame], Mapping[str, Any]], Mapping[str, Rows]],
    study: str,
    step: str,
    argv: list[str] | None = None,
) -> None:
    """Do the work of a step that makes tables from tables, and write them."""
    parser = argparse.ArgumentParser(prog=f"studies/{study}/{step}.py", description=work.__doc__)
    parser.add_argument("--tables", required=True, nargs="+", type=Path, help="tables beside the figures")
    parser.add_argument("--asked", required=True, type=json.loads, metavar="JSON", help="what it reads of the config")
    _out(parser)
    arguments = parse(parser, argv)
    _write(arguments.out, work({path.stem: read_frame(path) for path in arguments.tables}, arguments.asked))


def _out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, type=Path, help="figures/<config>: <table>.csv")


def _write(folder: Path, tables: Mapping[str, Rows]) -> None:
    for name, rows in tables.items():
        found, columns = rows if isinstance(rows, tuple) else (rows, None)
        write_table(folder / f"{name}.csv", found, columns)
