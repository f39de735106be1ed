"""Measures from the literature that are said to predict generalization: rivals of sharpness and size."""
