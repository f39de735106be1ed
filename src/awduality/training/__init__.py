"""Training: many runs as one stacked tensor program, each regularization scheme a small named piece."""
