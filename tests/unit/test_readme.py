"""What the README shows must run."""

import re

import numpy as np
import pytest
import torch

from awduality.networks import fully_connected


def test_the_readmes_python_runs_as_it_stands(root, digits):
    (block,) = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)
    torch.manual_seed(0)
    x, y = digits.train(200)
    names = {"model": fully_connected([64, 8, 8, 10]), "x": x, "y": y}
    names |= {"x_test": digits.test_inputs, "y_test": digits.test_labels}
    exec(block, names)
    result = names["result"]
    assert np.shape(result.sigma_g) == np.shape(result.sigma_w) == np.shape(result.c) == (64,)
    assert result.estimate == pytest.approx(np.mean(result.test_loss - result.train_loss))


def test_files_that_the_documents_link_to_exist(root):
    for document in ("README.md", "CONTRIBUTING.md", "config/README.md", "docs/instrument.md"):
        folder = (root / document).parent
        for target in re.findall(r"\]\((?!http)([^)#]+)", (root / document).read_text()):
            assert (folder / target).exists(), f"{document} links to {target}"
