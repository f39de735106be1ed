"""docs/instrument.md: what it shows must run, and print what it says."""

import contextlib
import io
import re

import torch


def blocks(text):
    """Every Python block with the text block that follows it, if one does."""
    return re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", text, re.DOTALL)


def matches(found, wanted):
    return re.fullmatch(".*".join(map(re.escape, wanted.split("..."))), found) is not None


def test_the_instruments_examples_run_in_order_and_print_what_is_shown(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "instrument"}
    found = blocks((root / "docs/instrument.md").read_text())
    assert len(found) >= 6
    for code, wanted in found:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        lines, expected = printed.getvalue().splitlines(), wanted.splitlines()
        assert len(lines) == len(expected), printed.getvalue()
        for line, shown in zip(lines, expected, strict=True):
            assert matches(line, shown), f"{line!r} instead of {shown!r}"
    assert (tmp_path / "fc2.pdf").read_bytes().startswith(b"%PDF")
    assert torch.is_tensor(names["x"])
