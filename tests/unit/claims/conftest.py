"""What tests of claims share."""

import gc

import pytest


@pytest.fixture(autouse=True)
def _cheap_collection():
    """Statsmodels collects garbage in every adjustment of p-values; freezing what is there makes that cheap."""
    gc.freeze()
    yield
    gc.unfreeze()
