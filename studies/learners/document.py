"""What docs/learners.md says of studies of many learners: settings in words, the recorded results, all verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from awduality.claims import report
from awduality.claims.words import Verdicts
from awduality.learners import ALGORITHMS, MIXINGS
from awduality.study.plan import plan
from awduality.training.multilearner import EVALUATIONS, LAST
from studies.learners import disclosed
from studies.learners.recorded import RECORDED, recorded_table


def words(
    settings: Mapping[str, Mapping[str, Any]],
    runs: Mapping[str, pd.DataFrame],
    studies: Mapping[str, Verdicts],
) -> dict[str, Any]:
    """What the document's template asks for.

    Args:
        settings: the resolved config of every study, by name.
        runs: a row per run and layer of every study, as beside its figures.
        studies: the verdicts of every study.
    """
    repeated = next(
        name for name, config in settings.items() if set(RECORDED) <= set(config["learners"]["experiments"])
    )
    noisy = [name for name, table in runs.items() if (table["algorithm"] == "ssgd_star").any()]
    return {
        **disclosed.words(runs, noisy),
        "settings": settings,
        "data": {name: str(table["dataset"].iloc[0]) for name, table in runs.items()},
        "networks": {name: _network(config) for name, config in settings.items()},
        "counts": {name: len(plan(config)["runs"]) for name, config in settings.items()},
        "algorithms": ALGORITHMS,
        "mixings": MIXINGS,
        "evaluations": EVALUATIONS,
        "last": LAST,
        "report": report,
        **{name.removesuffix("-learners").replace("-", "_"): verdicts for name, verdicts in studies.items()},
        "recorded": recorded_table(runs[repeated]),
        "claims": report.claims_table(studies),
    }


def _network(config: Mapping[str, Any]) -> str:
    network, width = config["network"], config["learners"]["width"]
    hidden = [network.get("first_width", width), *[width] * (network["hidden_layers"] - 1)]
    convolutions = network.get("convolutions", [])
    before = f"convolutions of {', '.join(map(str, convolutions))} channels; " if convolutions else ""
    return f"{before}hidden layers of {', '.join(map(str, hidden))}"
