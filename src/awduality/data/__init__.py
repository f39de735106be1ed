"""Datasets: where they come from, which part is used, and label noise."""
