"""The figures of a study of many learners by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure


def draw_study(figure: str, inputs: Sequence[Any]) -> Figure:
    """One figure, from its tables. Only its own module is imported: a figure's id is made of the code that draws it."""
    if figure == "effects":
        from awduality.figures.effects import draw_effects

        return draw_effects(*inputs)
    if figure in ("grid", "plane"):
        from awduality.figures.learners import draw_grid, draw_plane

        return draw_grid(*inputs) if figure == "grid" else draw_plane(*inputs)
    from awduality.figures.learner_paths import draw_course, draw_surface

    return draw_course(*inputs) if figure == "course" else draw_surface(*inputs)
