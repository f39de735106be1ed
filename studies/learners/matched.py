"""Which runs of a study are compared with which: decentralised with synchronous SGD of the same setting and seed."""

from __future__ import annotations

import pandas as pd

MATCHED = ("learning_rate", "total_batch", "steps", "seed")
"""What the runs of a pair agree in."""


COMPARED = ("large", "moderate", "small")
"""The experiments that cross learning rates, total batches and numbers of learners."""


def in_experiment(runs: pd.DataFrame, *names: str) -> pd.DataFrame:
    """The runs that at least one of these experiments asks for; ``experiments`` holds names joined by spaces."""
    asked = [not set(names).isdisjoint(str(asking).split()) for asking in runs["experiments"]]
    return runs[pd.Series(asked, index=runs.index, dtype=bool)]


def first_layer(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of the layer that figures show, that of the first row: a row per run, with or without a geometry."""
    return runs[runs["layer"] == runs["layer"].iloc[0]] if len(runs) else runs


def compared(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of SSGD and DPSGD at large and at small rates and batches; of a study without such experiments, all."""
    both = runs[runs["algorithm"].isin(["ssgd", "dpsgd"])]
    chosen = in_experiment(both, *COMPARED)
    return chosen if len(chosen) else both


def matched_pairs(runs: pd.DataFrame) -> pd.DataFrame:
    """Every DPSGD run with the SSGD run of the same learning rate, total batch, steps and seed.

    Args:
        runs: a row per run, of one layer.

    Returns:
        A row per pair of which both have converged: the columns of the DPSGD run, and those of the SSGD run with
        ``_ssgd`` appended, those of ``MATCHED`` once.
    """
    converged = runs[runs["ended"] == "converged"]
    synchronous, decentralised = (converged[converged["algorithm"] == name] for name in ("ssgd", "dpsgd"))
    return decentralised.merge(synchronous, on=list(MATCHED), suffixes=("", "_ssgd"), validate="many_to_one")
