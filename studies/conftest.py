"""Fixtures for the tests of studies: those of all tests."""

from tests.conftest import _one_thread, digits, digits_file, finished, mnist_root, rng, root, snakemake, tree

__all__ = ["_one_thread", "digits", "digits_file", "finished", "mnist_root", "rng", "root", "snakemake", "tree"]
