"""What a step per shard is run by: ``python -m studies.<study>.<step>``, a row per run and the arrays behind it."""

from __future__ import annotations

import argparse
import collections
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from awduality.commandline import Progress, parse, recorded, run
from awduality.files import read_arrays, read_table, write_arrays, write_table
from awduality.runs import Run
from awduality.streams import stream

if TYPE_CHECKING:
    from awduality.data.splits import Split

Numbers = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a step found for one run.

    ``numbers`` is one row, or several where the step declares rows per layer or the like; none where the run has none.
    ``arrays`` are stored as ``<run>/<name>``.
    """

    run: Run
    ended: str = "converged"  # converged, budget, diverged …
    numbers: Numbers | Sequence[Numbers] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """What a step is given: runs, what it asked of the config, and what the steps before it wrote."""

    study: str
    runs: Sequence[Run]
    asked: Mapping[str, Any]  # the keys that the step reads, by their last part, and root_seed
    split_file: Path | None = None
    before: Mapping[str, Sequence[Path]] = field(default_factory=dict)  # step → its files, without suffix
    progress: Callable[..., None] = print  # to be told how many further runs are done, and what is being done

    def stream(self, purpose: str, run: Run) -> np.random.Generator:
        """The random stream of one run for one purpose of this study; runs of one seed share it."""
        return stream(self.asked["root_seed"], f"{self.study}/{purpose}", run.seed)

    @cached_property
    def split(self) -> Split:
        """The data."""
        return split_from(self.split_file)

    def rows(self, step: str) -> dict[str, list[dict[str, str]]]:
        """Run → what an earlier step says of it, every cell as text."""
        found: dict[str, list[dict[str, str]]] = {}
        for file in self.before[step]:
            for row in read_table(of_kind(file, "csv")):
                found.setdefault(row["run"], []).append(row)
        return found

    def ended(self, step: str) -> dict[str, str]:
        """Run → how it ended, as an earlier step says."""
        return {identifier: rows[0]["ended"] for identifier, rows in self.rows(step).items()}

    def arrays(self, step: str) -> dict[str, np.ndarray]:
        """``<run>/<name>`` → array, of an earlier step."""
        return {name: array for file in self.before[step] for name, array in _arrays(file).items()}


def split_from(file: Path | None) -> Split:
    """The data of a step, of those that read it."""
    from awduality.data.splits import read_split

    assert file is not None, "a step that reads the split declares data=True"
    return read_split(file)


def _arrays(file: Path) -> dict[str, np.ndarray]:
    return read_arrays(of_kind(file, "safetensors"))


def of_kind(file: Path, suffix: str) -> Path:
    """A file of a shard; the shard's name may hold dots."""
    return file.with_name(f"{file.name}.{suffix}")


def arrays_of(arrays: Mapping[str, np.ndarray], run: Run, part: str = "") -> dict[str, np.ndarray]:
    """Name → array of one run, of those whose name begins with ``<part>/`` if a part is given."""
    prefix = f"{run.id}/" + (f"{part}/" if part else "")
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def runs_from(description: Iterable[Mapping[str, Any]]) -> list[Run]:
    """The runs that a command line describes, in the order of settings and their seeds."""
    return [Run(dict(entry["settings"]), seed) for entry in description for seed in entry["seeds"]]


def each_run(work: Callable[[Job], Iterable[Outcome]], columns: Sequence[str] = ()) -> None:
    """Run a step per shard as a program.

    Args:
        work: gives an outcome for every run, in the order of the job's runs; a run may be left out.
        columns: names of the numbers; by default those of the first run that has any.
    """
    run(recorded(partial(perform, work, columns, *running())))


def running() -> tuple[str, str]:
    """Study and step of the program that runs, from where it lies: ``studies/<study>/<step>.py``."""
    import __main__

    file = Path(str(__main__.__file__))
    return file.parent.name, file.stem


def perform(
    work: Callable[[Job], Iterable[Outcome]],
    columns: Sequence[str],
    study: str,
    step: str,
    argv: list[str] | None = None,
) -> None:
    """Do the work of a step per shard and write its files."""
    parser = argparse.ArgumentParser(prog=f"studies/{study}/{step}.py", description=work.__doc__)
    parser.add_argument("--shards", required=True, type=json.loads, metavar="JSON", help="shard → settings and seeds")
    parser.add_argument("--asked", required=True, type=json.loads, metavar="JSON", help="what it reads of the config")
    parser.add_argument("--split", type=Path, help="the data, from prepare_data.py, if the step reads it")
    parser.add_argument("--before", nargs="*", default=[], metavar="STEP=FOLDER", help="where earlier steps wrote")
    parser.add_argument("--out", required=True, type=Path, help="the folder of this step: <shard>.csv, .safetensors")
    arguments = parse(parser, argv)
    shards = {name: runs_from(description) for name, description in arguments.shards.items()}
    runs = [one for found in shards.values() for one in found]
    folders = {name: Path(folder) for name, folder in (item.split("=") for item in arguments.before)}
    before = {name: [folder / shard for shard in shards] for name, folder in folders.items()}
    job = Job(study, runs, arguments.asked, arguments.split, before, Progress(len(runs), "run"))
    outcomes = {outcome.run.id: outcome for outcome in work(job)}
    for shard, found in shards.items():
        write_shard(arguments.out / shard, [outcomes[one.id] for one in found if one.id in outcomes], found, columns)


def write_shard(file: Path, outcomes: Sequence[Outcome], runs: Sequence[Run], columns: Sequence[str] = ()) -> None:
    """Write ``<file>.csv``, a row per run and whatever the step has rows for, and ``<file>.safetensors``."""
    settings = list(runs[0].settings)
    rows = [row for outcome in outcomes for row in _rows(outcome)]
    measured = list(columns) or list(dict.fromkeys(name for row in rows for name in row))
    heads = ["run", *settings, "seed", "ended"]
    write_table(of_kind(file, "csv"), rows, [*heads, *(name for name in measured if name not in heads)])
    arrays = {f"{outcome.run.id}/{name}": array for outcome in outcomes for name, array in outcome.arrays.items()}
    write_arrays(of_kind(file, "safetensors"), arrays)
    logging.info("%s: %s", file.name, dict(collections.Counter(outcome.ended for outcome in outcomes)))


def _rows(outcome: Outcome) -> Iterator[dict[str, Any]]:
    numbers = [outcome.numbers] if isinstance(outcome.numbers, Mapping) else outcome.numbers
    head = {"run": outcome.run.id, **outcome.run.settings, "seed": outcome.run.seed, "ended": outcome.ended}
    yield from ({**head, **row} for row in numbers)
