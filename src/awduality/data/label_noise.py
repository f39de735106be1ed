"""Label noise as in the authors' code: wrongly labelled samples are added to the clean ones.

The clean samples stay the same N; at noise level ρ the training set holds about N/(1 − ρ) samples in all. The number
added is a multiple of ten, which gives the authors' totals: 4,400, 4,590, 4,800 and 5,000 for N = 4,000. It also
matters: at B = 25 a total of 4,802 would end every epoch with a batch of two, whose step makes the loss spike.
Losses, Hessian and pairs use the clean part only, which is exactly N here (3,993 to 4,000 in the authors' code), so
that all values of ρ are compared on the same samples.
"""

from __future__ import annotations

import numpy as np

from awduality.streams import stream


def wrong_labels(labels: np.ndarray, classes: int, root_seed: int, seed: int) -> np.ndarray:
    """A uniformly random wrong label for each true one, from the stream ``label_noise`` of this seed index.

    Args:
        labels: (K,) true labels of the added samples. A longer array starts with the draws of a shorter one, so noise
            levels are nested within a seed.
        classes: number of classes, at least 2.
        root_seed: the config's root seed.
        seed: the run's seed index.

    Returns:
        (K,) labels, each different from the true one.
    """
    shift = stream(root_seed, "label_noise", seed).integers(1, classes, size=len(labels))
    return (labels + shift) % classes
