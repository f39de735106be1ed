"""The script for a network of one's own: what it writes, and what it says to files and modules that it cannot use."""

import importlib
import logging
import pickle
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from awduality import decompose
from awduality.errors import InputError
from awduality.files import read_arrays, read_table
from tests.conftest import ROOT
from tests.scripts.test_scripts import call, in_a_process

BUILDERS = """
from torch import nn

def build():
    return nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 10))

class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.into, self.around, self.out = nn.Linear(64, 8), nn.Linear(8, 8), nn.Linear(8, 10)

    def forward(self, x):
        h = self.into(x).relu()
        return self.out(h + self.around(h).relu())

def shapeless():
    return nn.Linear(3, 2)

def fails():
    raise OSError("no licence")

def forgets():
    build()

WIDTH = 8
"""


@pytest.fixture
def folder(tmp_path, digits, monkeypatch):
    """A folder with a module of builders, weights in three formats, and data; it is the current one."""
    (tmp_path / "mynets").mkdir()
    (tmp_path / "mynets/small.py").write_text(BUILDERS)
    (tmp_path / "mynets/broken.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    for name in [name for name in sys.modules if name.partition(".")[0] == "mynets"]:
        del sys.modules[name]
    torch.manual_seed(0)
    state = built("build").state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    torch.save(state, tmp_path / "weights.pt")
    torch.save(
        {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}, "epoch": 3},
        tmp_path / "trainer.pth",
    )
    np.savez(tmp_path / "data.npz", **samples(digits))
    return tmp_path


def built(name):
    return getattr(importlib.import_module("mynets.small"), name)()


def samples(digits):
    x, y = digits.train(300)
    return {
        "train_inputs": x,
        "train_targets": y,
        "test_inputs": digits.test_inputs,
        "test_targets": digits.test_labels,
    }


def script(**options):
    """Run the script with its usual options, but for those given; None leaves one out."""
    usual = {
        "model": "mynets.small:build",
        "checkpoint": "weights.safetensors",
        "layer": "3",
        "data": "data.npz",
        "out": "out",
    }
    given = {name: value for name, value in {**usual, **options}.items() if value is not None}
    call("decompose", *(word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)))


def refused(match, **options):
    with pytest.raises(InputError, match=match) as caught:
        script(**options)
    return str(caught.value)


@pytest.mark.parametrize("checkpoint", ["weights.safetensors", "weights.pt", "trainer.pth"])
def test_it_writes_what_decompose_gives(folder, digits, checkpoint, capsys):
    script(checkpoint=checkpoint)
    arrays = samples(digits)
    model = built("build")
    model.load_state_dict(torch.load("weights.pt", weights_only=True))
    wanted = decompose(
        model.eval(),
        "3",
        (arrays["train_inputs"], arrays["train_targets"]),
        (arrays["test_inputs"], arrays["test_targets"]),
    )
    found = read_arrays(folder / "out/3.safetensors")
    assert np.array_equal(found["sigma_g"], wanted.sigma_g)
    assert float(found["gap"]) == wanted.gap
    (row,) = read_table(folder / "out/decomposition.csv")
    assert (row["layer"], row["weights"], row["pairs"]) == ("3", "56", "100")
    assert float(row["estimate"]) == wanted.estimate
    assert float(row["layer_norm"]) == pytest.approx(float(model[3].weight.detach().norm()))
    assert all(row.values())
    assert (folder / "out/3.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "out/3.svg").read_bytes().startswith(b"<?xml")
    printed = capsys.readouterr().out
    assert f"{wanted.gap:.4g}" in printed
    assert "Losses in nats" in printed


def test_the_same_command_writes_the_same_bytes_again(folder):
    for out in ("one", "two"):
        script(out=out)
    for path in (folder / "one").iterdir():
        assert path.read_bytes() == (folder / "two" / path.name).read_bytes(), path.name


def test_all_layers_and_a_truncated_one(folder):
    script(layer="all", top=60)
    rows = {row["layer"]: row for row in read_table(folder / "out/decomposition.csv")}
    assert {name: (row["weights"], row["directions"]) for name, row in rows.items()} == {
        "0": ("512", "60"),
        "3": ("56", "56"),
        "5": ("70", "60"),
    }
    assert float(rows["3"]["remainder"]) == 0
    assert rows["0"]["quadratic"] == "" != rows["3"]["quadratic"]
    assert float(rows["0"]["trace"]) > 0  # exact, all directions or not
    assert float(rows["0"]["estimate"]) == pytest.approx(float(rows["3"]["estimate"]))


def test_of_all_layers_those_that_are_bypassed_are_left_out_with_the_reason(folder, caplog):
    save_file(built("Residual").state_dict(), "residual.safetensors")
    with caplog.at_level(logging.INFO):
        script(model="mynets.small:Residual", checkpoint="residual.safetensors", layer="all")
    assert [row["layer"] for row in read_table(folder / "out/decomposition.csv")] == ["into", "out"]
    assert "layer 'around' is left out: layer 'around' is bypassed" in caplog.text


def test_a_layer_that_is_named_is_not_left_out(folder):
    save_file(built("Residual").state_dict(), "residual.safetensors")
    refused("'around' is bypassed", model="mynets.small:Residual", checkpoint="residual.safetensors", layer="around")
    assert not (folder / "out").exists()


def test_smoothed_labels_change_the_loss_and_pairs_can_be_chosen(folder, digits):
    arrays = samples(digits)
    same = [(np.flatnonzero(arrays["train_targets"] == label)[0]) for label in arrays["test_targets"]]
    pairs = {"train_pairs": np.array(same), "test_pairs": np.arange(100)}
    save_file(
        {name: torch.from_numpy(np.array(array)) for name, array in {**arrays, **pairs}.items()}, "own.safetensors"
    )
    script(data="own.safetensors", label_smoothing=0.1)
    found = read_arrays(folder / "out/3.safetensors")
    model = built("build").eval()
    model.load_state_dict(torch.load("weights.pt", weights_only=True))
    with torch.no_grad():
        logits = model.double()(torch.from_numpy(arrays["test_inputs"]).double())
    losses = nn.functional.cross_entropy(
        logits, torch.from_numpy(arrays["test_targets"]), label_smoothing=0.1, reduction="none"
    )
    assert found["test_loss"] == pytest.approx(losses.numpy())


def test_a_record_names_what_was_read_and_written(folder):
    script(record=folder / "record.json")
    text = (folder / "record.json").read_text()
    assert all(name in text for name in ("data.npz", "weights.safetensors", "out/3.svg", "out/decomposition.csv"))


def test_it_runs_by_hand_from_a_folder_of_ones_own(folder):
    words = [
        "--model",
        "mynets.small:build",
        "--checkpoint",
        "weights.pt",
        "--layer",
        "3",
        "--data",
        "data.npz",
        "--out",
        "by-hand",
    ]
    done = in_a_process(ROOT, ROOT / "scripts/decompose.py", *words, folder=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "by-hand/3.svg").exists()
    words[words.index("3")] = "4"
    done = in_a_process(ROOT, ROOT / "scripts/decompose.py", *words, folder=folder)
    assert done.returncode == 2
    assert "error: layer '4' is a ReLU: the linear layers of this network are ['0', '3', '5']" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("model", "match"),
    [
        ("mynets.small", "wanted package.module:name of a function that builds the network: got 'mynets.small'"),
        ("nowhere.at_all:build", "cannot import 'nowhere.at_all': there is no such module. .* current folder"),
        ("mynets.large:build", "cannot import 'mynets.large': there is no such module"),
        ("mynets.broken:build", "cannot import 'mynets.broken': it imports 'a_package_that_nobody_has'"),
        ("mynets.small:bild", r"'bild' is not there: module 'mynets.small' has .* \['build', 'Residual'"),
        ("mynets.small:WIDTH", "'WIDTH' is not a function or class"),
        ("mynets.small:fails", r"mynets.small:fails\(\) raises OSError: no licence"),
        ("mynets.small:forgets", r"mynets.small:forgets\(\) must return a torch.nn.Module: got a NoneType"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(folder, model, match):
    refused(match, model=model)


def test_weights_of_another_network_are_refused_by_name_and_shape(folder):
    state = torch.load("weights.pt", weights_only=True)
    save_file({name.replace("5.", "6."): tensor for name, tensor in state.items()}, "other.safetensors")
    refused("it lacks 5.bias, 5.weight and adds 6.bias, 6.weight", checkpoint="other.safetensors")
    save_file({**state, "3.weight": torch.zeros(7, 9)}, "other.safetensors")
    refused(r"other shapes: got 3.weight \(7, 9\), wanted \(7, 8\)", checkpoint="other.safetensors")


class Payload:
    """An object whose unpickling would run code."""

    def __reduce__(self):
        return (open, ("pwned", "w"))


def test_no_code_in_a_checkpoint_is_run(folder):
    torch.save(Payload(), "evil.pt")
    (folder / "evil.pth").write_bytes(pickle.dumps(Payload()))
    for checkpoint in ("evil.pt", "evil.pth"):
        refused("Python objects beside tensors.*can run any code", checkpoint=checkpoint)
    torch.save(built("build"), "whole.pt")
    refused(r"torch.save\(model.state_dict\(\), path\)", checkpoint="whole.pt")
    assert not (folder / "pwned").exists()


def test_files_that_are_no_checkpoints_are_refused(folder):
    torch.save({"epoch": 3}, "no.pt")
    refused("must hold a state dict.* got the keys epoch", checkpoint="no.pt")
    torch.save(torch.zeros(3), "no.pt")
    refused("must hold a state dict.* got a Tensor", checkpoint="no.pt")
    (folder / "no.pt").write_bytes((folder / "weights.pt").read_bytes()[:2000])
    refused("no.pt .*is damaged", checkpoint="no.pt")
    (folder / "no.safetensors").write_text("no")
    refused("not a safetensors file, or is damaged", checkpoint="no.safetensors")
    refused("cannot tell what weights.h5 is: wanted a .safetensors, .pt or .pth file", checkpoint="weights.h5")
    with pytest.raises(FileNotFoundError):
        script(checkpoint="absent.pt")


def test_data_that_cannot_be_used_are_refused(folder, digits):
    arrays = samples(digits)

    def saved(**changes):
        np.savez("bad.npz", **{name: array for name, array in {**arrays, **changes}.items() if array is not None})
        return "bad.npz"

    refused("bad.npz lacks test_targets: got the arrays test_inputs", data=saved(test_targets=None))
    refused(r"as many train_targets: got \(300, 64\) and \(299,\)", data=saved(train_targets=np.zeros(299, int)))
    refused(r"wanted test_inputs of shape \(N, …\)", data=saved(test_inputs=np.zeros(100)))
    refused("holds train_pairs alone", data=saved(train_pairs=np.arange(3)))
    refused("Object arrays cannot be loaded", data=saved(test_inputs=np.array([None, {}])))
    refused("training inputs have 9 features each, test inputs 64", data=saved(train_inputs=np.zeros((300, 9))))
    saved(train_inputs=np.zeros((300, 9)), test_inputs=np.zeros((100, 9)))
    refused(r"does not accept inputs of shape \(300, 9\)", data="bad.npz")
    refused(r"does not accept inputs of shape \(300, 9\)", data="bad.npz", layer="all")
    (folder / "bad.npz").write_text("no")
    refused("bad.npz cannot be read", data="bad.npz")
    refused("cannot tell what data.csv is", data="data.csv")


@pytest.mark.parametrize("content", [b"hello", pickle.dumps({0: 1})])
def test_a_checkpoint_that_is_none_is_refused(folder, content):
    (folder / "bad.pt").write_bytes(content)
    refused("bad.pt (is not a checkpoint of PyTorch|holds Python objects|must hold a state dict)", checkpoint="bad.pt")


def test_a_checkpoint_of_numbered_tensors_is_refused_and_one_of_a_compiled_network_is_read(folder):
    state = torch.load(folder / "weights.pt", weights_only=True)
    torch.save(dict(enumerate(state.values())), folder / "numbered.pt")
    refused("must hold a state dict", checkpoint="numbered.pt")
    torch.save({f"_orig_mod.{name}": tensor for name, tensor in state.items()}, folder / "compiled.pt")
    script(checkpoint="compiled.pt")


def test_data_that_are_no_numbers_are_refused(folder, digits):
    np.save(folder / "one.npy", np.zeros(3))
    (folder / "one.npy").rename(folder / "one.npz")
    refused("one.npz cannot be read", data="one.npz")
    x, y = digits.test
    np.savez(folder / "words.npz", train_inputs=x, train_targets=y.astype(str), test_inputs=x, test_targets=y)
    refused("train_targets in words.npz must be of real numbers", data="words.npz")


def test_a_loss_that_is_not_known_or_cannot_be_smoothed_is_refused(folder):
    refused("unknown loss 'hinge'", loss="hinge")
    refused("label smoothing spreads a share of each label from 0 to below 1: got 1.5", label_smoothing=1.5)
    refused("only the cross-entropy has labels to smooth", loss="mse", label_smoothing=0.1)
