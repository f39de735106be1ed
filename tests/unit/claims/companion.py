"""A study of two settings, as a file of claims and tables, for tests of the kinds that every study has."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from awduality.claims.catalogue import read_claims
from awduality.claims.judge import KINDS, judge
from awduality.claims.kind import Registry
from awduality.study.contract import Setting

REGISTRY = Registry(
    KINDS,
    {
        "arm": Setting(str, "Arm", choices={"minibatch": "minibatch", "none": "none", "injected": "injected"}),
        "rate": Setting(float, "Rate"),
        "batch": Setting(int, "Batch"),
    },
    {"main": "all of it", "side": "a part"},
)
"""What the study declares."""

ARMS = ("minibatch", "none")
RATES = (0.1, 0.2, 0.4)
SEEDS = 6


@functools.cache
def schema():
    root = Path(__file__).resolve().parents[3]
    return yaml.safe_load((root / "workflow/schemas/claims.schema.yaml").read_text(encoding="utf-8"))


def quantity(name, power=1, log=False, **more):
    return {"columns": {name: power, **more}, "scale": "log" if log else "linear", "label": name}


def entry(statistic, name="one", expected="any", **rest):
    return {
        "id": name,
        "of": "noise",
        "statement": "A statement.",
        "known_from": "abstract",
        "statistic": statistic,
        "expected": expected,
        "why": "family-wise level",
        **rest,
    }


def content(*entries):
    return {"level": 0.05, "paper": {"noise": "what the paper says"}, "claims": list(entries)}


def read(*entries, registry=REGISTRY):
    return read_claims(content(*entries), schema(), registry)


def verdicts(tables, *entries, registry=REGISTRY, root_seed=1):
    """The rows of claims on some tables, or on the table of runs alone."""
    tables = tables if isinstance(tables, dict) else {"runs": tables}
    return judge(read(*entries, registry=registry), tables, root_seed, registry)


def row(tables, statistic, **rest):
    """The row of one claim."""
    (found,) = verdicts(tables, entry(statistic, **rest))
    return found


def runs(measure, arms=ARMS, rates=RATES, batches=(10,), seeds=SEEDS):
    """A table of converged runs: every arm, rate, batch and seed once; what they measure is a function of these."""
    rows = []
    for arm in arms:
        for rate in rates:
            for batch in batches:
                for seed in range(seeds):
                    name = f"{arm}-{rate}-{batch}-{seed}"
                    head = {"config": "quick", "run": name, "experiments": "main" if seed % 2 else "main side"}
                    settings = {"arm": arm, "rate": rate, "batch": batch, "seed": seed, "ended": "converged"}
                    rows.append({**head, **settings, **measure(arm, rate, batch, seed)})
    return pd.DataFrame(rows)


def per_seed(table, values):
    """(S,) the mean of the values of every seed, in a loop."""
    return np.array([np.mean(values[(table["seed"] == seed).to_numpy()]) for seed in sorted(set(table["seed"]))])
