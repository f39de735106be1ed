"""The table ``theory``: where no estimate can be good, simulated, beside the closed forms."""

from __future__ import annotations

from awduality.streams import stream
from awduality.study.tables import Results, Rows, table_step
from studies.generalization_measures.fields import on_field, on_parities

COLUMNS = (
    *("config", "game", "field", "surplus", "trials"),
    *("chance", "theory_chance", "floor"),  # of an inverse, or of the truth's being found; of the estimates' errors
    *("rmse_constant", "rmse_training", "rmse_left_out", "rmse_weight"),
    *("fails_rank", "fails_training", "z_chance", "z_floor"),
)


def run(results: Results) -> dict[str, Rows]:
    """A row per order of the field, and per number of samples of parities."""
    asked, head = results.asked, {"config": results.labels["config"], "trials": results.asked["trials"]}
    rows = []
    for q in asked["fields"]:
        numbers = on_field(q, asked["trials"], stream(asked["root_seed"], "generalization_measures/fields", q))
        rows.append({**dict.fromkeys(COLUMNS, ""), **head, "game": "fields", "field": q, **numbers})
    for surplus in asked["surpluses"]:
        place = 1000 + surplus  # an index is not negative
        numbers = on_parities(
            surplus, asked["trials"], stream(asked["root_seed"], "generalization_measures/parities", place)
        )
        rows.append({**dict.fromkeys(COLUMNS, ""), **head, "game": "parities", "surplus": surplus, **numbers})
    return {"theory": (rows, COLUMNS)}


if __name__ == "__main__":
    table_step(run)
