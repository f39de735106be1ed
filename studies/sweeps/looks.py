"""How factors look and are called, the same in every figure of the sweeps."""

from __future__ import annotations

import seaborn as sns

from studies.sweeps.study import BASELINE, FACTORS

_MARKERS = ("o", "s", "^", "v", "D", "P", "X", "<", ">", "h")


def factor_markers() -> dict[str, str]:
    """One marker per factor, the same in every figure."""
    return dict(zip([BASELINE, *FACTORS], _MARKERS, strict=True))


def factor_colours() -> dict[str, tuple[float, float, float]]:
    """One colour per factor, the same in every figure; the baseline is black."""
    colours = sns.color_palette("colorblind", len(FACTORS))
    return {BASELINE: (0.0, 0.0, 0.0), **dict(zip(FACTORS, colours, strict=True))}


def factor_label(factor: str) -> str:
    """The name of a factor in a legend."""
    return "Baseline" if factor == BASELINE else FACTORS[factor].words
