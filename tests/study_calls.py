"""Steps of studies and scripts, run in the test's own process with a record, as jobs of the pipeline run them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from awduality.commandline import recorded
from awduality.study import step as of_shards
from awduality.study import tables as of_study


def call(script: str, *arguments: Any) -> None:
    """Run a script's ``main`` with these words."""
    import_module(script).main([str(argument) for argument in arguments])


def described(settings: Mapping[str, Any] | Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """A shard as a command line says it: some settings, each with these seeds."""
    each = [settings] if isinstance(settings, Mapping) else settings
    return [{"settings": dict(one), "seeds": list(seeds)} for one in each]


def shard_step(
    study: str,
    step: str,
    out: Path,
    shards: Mapping[str, Any],
    asked: Mapping[str, Any],
    split: Path | None = None,
    before: Mapping[str, Path] | None = None,
    columns: Sequence[str] = (),
    **options: Any,
) -> None:
    """Run a step per shard: ``<out>/<shard>.csv`` and ``.safetensors``.

    Args:
        study: the folder of the study.
        step: its module.
        out: the folder of the step's files.
        shards: shard → settings and seeds, see ``described``.
        asked: what it reads of the config, with ``root_seed``.
        split: the data.
        before: earlier step → the folder of its files.
        columns: the names of its numbers, if the module tells the frame.
        options: ``record``, a file, and ``after``, records.
    """
    words = ["--shards", json.dumps(shards), "--asked", json.dumps(asked), "--out", out, *_split(split)]
    words += _before(before)
    work = import_module(f"studies.{study}.{step}").run
    _perform(partial(of_shards.perform, work, columns, study, step), words, options)


def study_step(
    study: str,
    step: str,
    out: Path,
    results: Path,
    asked: Mapping[str, Any],
    before: Mapping[str, Path],
    split: Path | None = None,
    **options: Any,
) -> None:
    """Run a step per study: the tables in ``out``, from the results of other steps; arguments as of ``shard_step``."""
    words = ["--results", results, "--asked", json.dumps(asked), "--out", out, *_split(split), *_before(before)]
    work = import_module(f"studies.{study}.{step}").run
    _perform(partial(of_study.perform, work, study, step), words, options)


def derived_step(
    study: str, step: str, out: Path, tables: Sequence[Path], asked: Mapping[str, Any], **options: Any
) -> None:
    """Run a step that makes tables in ``out`` from the tables that lie beside the figures."""
    words = ["--tables", *tables, "--asked", json.dumps(asked), "--out", out]
    work = import_module(f"studies.{study}.{step}").run
    _perform(partial(of_study.derive, work, study, step), words, options)


def _split(split: Path | None) -> list[Any]:
    return ["--split", split] if split else []


def _before(before: Mapping[str, Path] | None) -> list[Any]:
    return ["--before", *(f"{name}={folder}" for name, folder in before.items())] if before else []


def _perform(perform: partial[None], words: list[Any], options: Mapping[str, Any]) -> None:
    if "record" in options:
        words = [*words, "--record", options["record"], "--after", *options.get("after", [])]
    recorded(perform)([str(word) for word in words])
