"""Label noise as in the authors' code: wrongly labelled samples are added to the clean ones.

The clean samples stay the same N; at noise level ρ the training set holds N/(1 − ρ) samples in all. Losses, Hessian and
pairs use the clean part only. The authors keep the total at a round number (4,590 at ρ = 0.13), which moves their clean
part by up to 7 samples of 4,000; here the clean part is exactly N, so that all values of ρ are compared on the same
samples.
"""

from __future__ import annotations

import numpy as np

from awduality.streams import stream


def noisy_count(train_size: int, level: float) -> int:
    """How many mislabelled samples are added to ``train_size`` clean ones: N·ρ/(1 − ρ), rounded."""
    return round(train_size * level / (1 - level))


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
