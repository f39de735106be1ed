"""Figures: from results to the numbers drawn, from numbers to pictures."""
