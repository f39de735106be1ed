"""The columns of rounding errors are those that the analysis writes, and no rate of errors is among them."""

from awduality.duality import controls, solution, summary
from awduality.duality.rounding import ROUNDING_ERRORS

WRITTEN = {*summary.COLUMNS, *summary.NULL_COLUMNS, *solution.SOLUTION_COLUMNS, *controls.COLUMNS}


def test_every_rounding_error_that_the_analysis_writes_is_declared():
    assert {name for name in WRITTEN if "_error" in name} <= set(ROUNDING_ERRORS)


def test_every_declared_rounding_error_is_one_of_the_analysis_or_of_a_study(root):
    of_studies = {
        name
        for path in root.glob("studies/*/*.py")
        if not path.name.startswith("test_")
        for name in ROUNDING_ERRORS
        if f'"{name}"' in path.read_text()
    }
    assert set(ROUNDING_ERRORS) <= WRITTEN | of_studies


def test_committed_rounding_errors_are_of_the_size_of_rounding(root):
    """But those of shuffled scalars, which change the estimate, in the table of nulls."""
    from awduality.files import read_frame

    for path in sorted(root.glob("figures/*/runs.csv")):
        table = read_frame(path)
        errors = table[[name for name in ROUNDING_ERRORS if name in table]]
        assert not (errors > 1e-9).to_numpy().any(), path
