"""Checkpoints as people have them: what is taken, what is refused and what then is advised."""

import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file, save_model
from torch import nn

from awduality import InputError
from awduality.weights import load_weights


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)).eval()


class Tied(nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.embedding, self.head = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
        self.head.weight = self.embedding.weight


def same(one, other):
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def loaded(path, model=None):
    model = network(1) if model is None else model
    load_weights(model, path)
    return model


def refused(path, match, model=None):
    with pytest.raises(InputError, match=match) as caught:
        loaded(path, model)
    assert "weights_only" not in str(caught.value)
    assert "where you trust" not in str(caught.value)


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.ckpt", "w.bin", "w.pth.tar", "w.PT", "w.th"])
def test_suffixes_of_files_of_torch_are_known(name, tmp_path):
    torch.save(network().state_dict(), tmp_path / name)
    assert same(loaded(tmp_path / name), network())


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net", "network", "module", "model_state"])
def test_the_state_dict_is_found_under_the_keys_of_trainers(key, tmp_path):
    torch.save({"epoch": 3, "optimizer": {"lr": 0.1}, key: network().state_dict()}, tmp_path / "w.pt")
    assert same(loaded(tmp_path / "w.pt"), network())
    torch.save({"state": 1, "model": {"version": 2, key: network().state_dict()}}, tmp_path / "w.pt")
    assert same(loaded(tmp_path / "w.pt"), network())


@given(parts=st.lists(st.sampled_from(["module", "_orig_mod", "model", "net", "backbone"]), max_size=4))
def test_prefixes_in_any_order_are_taken_off(parts, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "prefixed.safetensors"
    prefix = "".join(f"{part}." for part in parts)
    save_file({prefix + name: tensor for name, tensor in network().state_dict().items()}, path)
    assert same(loaded(path), network())


def test_wrappers_within_names_and_around_the_network_itself_are_left_out(tmp_path):
    state = network().state_dict()
    save_file(
        {name.replace(".", "._orig_mod.", 1): tensor for name, tensor in state.items()}, tmp_path / "w.safetensors"
    )
    assert same(loaded(tmp_path / "w.safetensors"), network())
    save_file(state, tmp_path / "w.safetensors")
    assert same(loaded(tmp_path / "w.safetensors", nn.DataParallel(network(1))).module, network())


def test_a_network_whose_own_names_begin_with_a_prefix_keeps_them(tmp_path):
    model, other = (nn.ModuleDict({"model": network(seed)}) for seed in (0, 1))
    torch.save(model.state_dict(), tmp_path / "w.pt")
    assert same(loaded(tmp_path / "w.pt", other), model)


def test_what_a_trainer_keeps_beside_the_network_is_left_out_and_logged(tmp_path, caplog):
    state = {f"model.{name}": tensor for name, tensor in network().state_dict().items()}
    torch.save({"state_dict": {**state, "criterion.weight": torch.ones(3)}}, tmp_path / "w.ckpt")
    assert same(loaded(tmp_path / "w.ckpt"), network())
    assert "criterion.weight" in caplog.text


def test_a_network_that_is_there_twice_is_refused(tmp_path):
    state = {f"{part}.{name}": tensor for part in ("model", "ema") for name, tensor in network().state_dict().items()}
    torch.save(state, tmp_path / "w.ckpt")
    refused(tmp_path / "w.ckpt", "holds this network several times")
    torch.save({"model": network().state_dict(), "net": network(1).state_dict()}, tmp_path / "w.ckpt")
    refused(tmp_path / "w.ckpt", "several mappings, model and net")


def test_more_tensors_among_the_networks_own_are_refused(tmp_path):
    torch.save({**network().state_dict(), "4.weight": torch.ones(3)}, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", "it adds 4.weight")


def test_counters_of_batch_norm_may_be_missing(tmp_path):
    state = {name: tensor for name, tensor in network().state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "w.pt")
    assert same(loaded(tmp_path / "w.pt"), network())
    del state["1.running_mean"]
    torch.save(state, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", "it lacks 1.running_mean. Build")


def test_tied_weights_may_be_there_once(tmp_path):
    save_model(Tied(0), str(tmp_path / "w.safetensors"))
    assert same(loaded(tmp_path / "w.safetensors", Tied(1)), Tied(0))
    torch.save(Tied(0).state_dict(), tmp_path / "w.pt")
    assert same(loaded(tmp_path / "w.pt", Tied(1)), Tied(0))


def test_weights_that_are_tied_in_the_network_alone_are_refused(tmp_path):
    torch.save({**Tied(0).state_dict(), "head.weight": torch.zeros(7, 4)}, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", "are one tensor in the network, but not in", Tied(1))


def test_scripted_networks_are_refused_with_what_to_do(tmp_path):
    torch.jit.save(torch.jit.script(network()), str(tmp_path / "w.pt"))
    refused(tmp_path / "w.pt", r"TorchScript archive, which holds code: .* torch.save\(model.state_dict\(\), path\)")


class Payload:
    def __reduce__(self):
        return (open, ("pwned", "w"))


@pytest.mark.parametrize("suffix", [".pt", ".ckpt", ".bin", ".pth.tar"])
def test_no_code_in_a_file_is_run_and_the_way_out_is_a_safe_one(suffix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"w{suffix}"
    for content in (network(), {"state_dict": network().state_dict(), "hyper_parameters": Payload()}, Payload()):
        torch.save(content, path)
        refused(path, "holds Python objects beside tensors.* in the program that made it, save the weights alone")
    path.write_bytes(pickle.dumps(Payload()))
    refused(path, "Python objects|not a checkpoint")
    path.write_bytes(b"PK\x03\x04 no")
    refused(path, "w.* damaged")
    assert not (tmp_path / "pwned").exists()
