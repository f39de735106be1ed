"""What people bring as samples: the same numbers give the same result, whatever they come in; the rest is refused."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset, WeightedRandomSampler

from awduality import InputError, decompose, decompose_layers, layer_density, nearest_pairs
from awduality.arrays import as_tensor
from awduality.samples import gathered

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 6)), np.arange(60) % 3
XT, YT = RNG.normal(size=(25, 6)), np.arange(25) % 3
TEST = (XT, YT)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)).eval()


@pytest.fixture(scope="module")
def expected():
    return decompose(network(), "0", (X, Y), TEST)


class Items(Dataset):
    def __len__(self):
        return 60

    def __getitem__(self, index):
        return X[index], int(Y[index])


class Rows:
    """Not of torch, as data sets of other packages."""

    def __len__(self):
        return 60

    def __getitem__(self, index):
        return {"x": X[index], "label": int(Y[index])}


class Stream(IterableDataset):
    def __iter__(self):
        return zip(X, Y, strict=True)


def tensors():
    return TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))


ORDER = RNG.permutation(60)
TAKEN = {
    "tensors": lambda: (torch.from_numpy(X), torch.from_numpy(Y)),
    "tensors with gradients": lambda: (torch.from_numpy(X).requires_grad_(), torch.from_numpy(Y)),
    "a list of tensors": lambda: [list(torch.from_numpy(X)), list(torch.from_numpy(Y))],
    "lists": lambda: (X.tolist(), Y.tolist()),
    "tuples": lambda: (tuple(map(tuple, X.tolist())), tuple(Y.tolist())),
    "a data set of tensors": tensors,
    "a data set": Items,
    "a part of a data set": lambda: Subset(Items(), range(60)),
    "a data set of no library": Rows,
    "a list of samples": lambda: list(Items()),
    "a stream": Stream,
    "a loader": lambda: DataLoader(tensors(), batch_size=7),
    "a loader that shuffles": lambda: DataLoader(Items(), batch_size=7, shuffle=True),
    "a loader that shuffles and drops": lambda: DataLoader(Items(), batch_size=7, shuffle=True, drop_last=True),
    "a loader of a stream": lambda: DataLoader(Stream(), batch_size=7),
    "a loader of mappings": lambda: DataLoader(Rows(), batch_size=7),
    "a mapping": lambda: {"inputs": X, "targets": Y},
    "frames with an index": lambda: (pd.DataFrame(X, index=ORDER), pd.Series(Y, index=ORDER)),
    "frames with names": lambda: (pd.DataFrame(X, columns=list("abcdef")), pd.Series(Y, index=list(map(str, ORDER)))),
    "nullable integers": lambda: (pd.DataFrame(X), pd.Series(Y, dtype="Int64")),
    "categories": lambda: (pd.DataFrame(X), pd.Series(Y, dtype="category")),
    "columns of objects": lambda: (pd.DataFrame(X).astype(object), pd.Series(Y).astype(object)),
    "flipped": lambda: (X[::-1].copy()[::-1], Y[::-1].copy()[::-1]),
    "columns flipped": lambda: (X[:, ::-1].copy()[:, ::-1], Y),
    "every other row": lambda: (np.repeat(X, 2, 0)[::2], np.repeat(Y, 2)[::2]),
    "Fortran's order": lambda: (np.asfortranarray(X), Y),
    "big-endian": lambda: (X.astype(">f8"), Y.astype(">i4")),
    "extended precision": lambda: (X.astype(np.longdouble), Y.astype(np.uint64)),
    "read only": lambda: (np.frombuffer(X.tobytes()).reshape(60, 6), Y),
    "a mask that masks nothing": lambda: (np.ma.masked_array(X), Y),
    "sparse": lambda: (scipy.sparse.csr_matrix(X), Y),
    "a sparse array": lambda: (scipy.sparse.coo_array(X), Y),
    "a sparse tensor": lambda: (torch.from_numpy(X).to_sparse(), Y),
    "labels of eight bits": lambda: (X, Y.astype(np.int8)),
}


@pytest.mark.parametrize("name", TAKEN)
def test_the_same_numbers_give_the_same_result_whatever_they_come_in(name, expected):
    assert decompose(network(), "0", TAKEN[name](), TEST) == expected


@pytest.mark.parametrize("name", ["a loader that shuffles", "frames with an index", "a data set of no library"])
def test_all_that_takes_samples_takes_them(name, expected):
    found = decompose_layers(network(), TAKEN[name](), TEST)
    assert found["0"] == expected
    assert nearest_pairs(TAKEN[name](), TEST) == nearest_pairs((X, Y), TEST)
    assert layer_density(network(), "0", TAKEN[name]()) == layer_density(network(), "0", (X, Y))


def test_a_sampler_of_ones_own_is_followed():
    sampler = WeightedRandomSampler(np.eye(60)[7], 5)
    inputs, targets = gathered(DataLoader(Items(), batch_size=2, sampler=sampler))
    assert np.array_equal(inputs, np.tile(X[7], (5, 1)))
    assert targets.tolist() == [Y[7]] * 5


@given(
    seed=st.integers(0, 1000),
    kind=st.sampled_from(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "?"]),
    order=st.sampled_from("<>"),
    steps=st.tuples(st.sampled_from([1, -1, 2, -3]), st.sampled_from([1, -1, 2])),
)
def test_every_real_array_becomes_a_tensor_of_its_own_numbers(seed, kind, order, steps):
    numbers = np.random.default_rng(seed).integers(0, 2 if kind == "?" else 100, size=(9, 8)).astype(kind)
    array = numbers.astype(numbers.dtype.newbyteorder(order))[:: steps[0], :: steps[1]]
    found = as_tensor(array, "array")
    assert found.tolist() == array.tolist()
    assert found.dtype == {"f": torch.float64, "i": torch.int64, "u": torch.int64, "b": torch.bool}[array.dtype.kind]


WORDS = np.array(["a", "b", "c"])
REFUSED = {
    "nothing": (lambda: None, "train must be a pair"),
    "inputs alone": (lambda: X, "train must be a pair"),
    "a number": (lambda: 3, "train must be a pair"),
    "text": (lambda: "train.npz", "train must be a pair"),
    "a triple": (lambda: (X, Y, Y), r"two parts, inputs and targets: got 3.*\(\(first, second\), targets\)"),
    "a data set of triples": (lambda: TensorDataset(*map(torch.from_numpy, (X, X, Y))), "two parts, .* got 3"),
    "a mapping without targets": (lambda: {"x": X, "z": Y}, "train is a mapping with the keys .*labels"),
    "no targets": (lambda: (X, None), "train: targets must be an array of numbers: got None"),
    "words": (lambda: (X, WORDS[Y]), r"train: targets must be of numbers.*numpy.unique\(labels"),
    "words of pandas": (lambda: (X, pd.Series(WORDS[Y])), r"train: targets must be of numbers.*numpy.unique"),
    "a column of words": (lambda: (pd.DataFrame(X).assign(w="a"), Y), "train: inputs must be of numbers"),
    "dates": (lambda: (X, np.full(60, "2020-01-01", "M8[D]")), "train: targets must be of numbers: got datetime64"),
    "objects": (lambda: (np.array([object()] * 60), Y), "train: inputs must be of numbers"),
    "complex": (lambda: (X + 1j, Y), "train: inputs must be of real numbers"),
    "complex tensors": (lambda: (torch.from_numpy(X) * 1j, Y), "train: inputs must be of real numbers"),
    "unequal rows": (lambda: ([[1.0], [1.0, 2.0]] * 30, Y), "train: inputs must be an array of numbers"),
    "missing inputs": (lambda: (np.where(X > 2, np.nan, X), Y), "train: some inputs are not finite"),
    "missing labels": (lambda: (X, pd.Series([0, None, 2] * 20)), "train: the targets of 20 samples are missing"),
    "missing integers": (lambda: (X, pd.Series([0, None, 2] * 20, dtype="Int64")), "targets of 20 samples are missing"),
    "masked": (lambda: (np.ma.masked_greater(X, 1), Y), r"train: inputs .*masked values"),
    "unequal numbers": (lambda: (X, Y[:-1]), "train: wanted as many targets as inputs, .* 60 inputs, 59 targets"),
    "no samples": (lambda: (X[:0], Y[:0]), "train: wanted as many targets as inputs, and some"),
    "one target": (lambda: (X, 3), "train: targets must have a row per sample"),
    "an empty loader": (lambda: DataLoader([]), "train"),
    "a loader that fails": (lambda: DataLoader(Items(), collate_fn=lambda _: 1 / 0), "its loader raises ZeroDivision"),
    "unequal samples": (lambda: [(np.zeros(k), 0) for k in range(1, 5)], "train cannot be put together"),
    "a meta tensor": (lambda: (torch.empty(60, 6, device="meta"), Y), "meta device"),
    "a nested tensor": (lambda: (torch.nested.nested_tensor(list(torch.from_numpy(X))), Y), "train: inputs"),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_by_the_arguments_name(name):
    make, match = REFUSED[name]
    calls = (
        lambda: decompose(network(), "0", make(), TEST),
        lambda: decompose_layers(network(), make(), TEST),
        lambda: layer_density(network(), "0", make()),
        lambda: nearest_pairs(make(), TEST),
    )
    for call in calls:
        with pytest.raises(InputError, match=match):
            call()


def test_test_samples_are_refused_by_their_name():
    with pytest.raises(InputError, match="^test must be a pair"):
        decompose(network(), "0", (X, Y), XT)


class Reader(nn.Module):
    """Embeds tokens and averages those that a mask leaves."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.embedding, self.first, self.last = nn.Embedding(20, 5), nn.Linear(5, 4), nn.Linear(4, 3)

    def forward(self, ids, mask=None):
        mask = torch.ones_like(ids) if mask is None else mask
        return self.of_embedded((self.embedding(ids) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))

    def of_embedded(self, mean):
        return self.last(torch.tanh(self.first(mean)))


class OfOne(Reader):
    def forward(self, batch):
        ids, mask = batch.values() if isinstance(batch, dict) else batch
        return super().forward(ids, mask)


class OfEmbedded(Reader):
    def forward(self, mean):
        return self.of_embedded(mean)


IDS, MASK = RNG.integers(0, 20, (85, 7)), RNG.integers(0, 2, (85, 7))
MASK[:, 0] = 1


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (Reader, lambda part: (IDS[part], MASK[part])),
        (Reader, lambda part: [IDS[part].astype(np.uint8), torch.from_numpy(MASK[part])]),
        (Reader, lambda part: {"ids": IDS[part], "mask": MASK[part]}),
        (Reader, lambda part: {"mask": MASK[part].astype(float), "ids": pd.DataFrame(IDS[part])}),
        (Reader, lambda part: {"ids": IDS[part], "mask": MASK[part] > 0}),
        (OfOne, lambda part: {"ids": IDS[part], "mask": MASK[part]}),
        (OfOne, lambda part: (IDS[part], MASK[part])),
        (lambda: nn.DataParallel(Reader()), lambda part: (IDS[part], MASK[part])),
    ],
)
def test_several_inputs_reach_the_network_as_it_takes_them(make, inputs):
    model = make().eval()
    layer = "module.first" if isinstance(model, nn.DataParallel) else "first"
    parts = slice(60), slice(60, 85)
    found = decompose(model, layer, (inputs(parts[0]), Y), (inputs(parts[1]), YT), pairs="activities")
    plain = OfEmbedded().eval().double()
    with torch.no_grad():
        ids, mask = torch.from_numpy(IDS), torch.from_numpy(MASK)
        means = (plain.embedding(ids) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    wanted = decompose(plain, "first", (means[:60], Y), (means[60:], YT))
    assert np.allclose(found.eigenvalues, wanted.eigenvalues, rtol=1e-10, atol=1e-14)
    assert found.gap == pytest.approx(wanted.gap, abs=1e-12)
    assert found.estimate == pytest.approx(wanted.estimate, abs=1e-12)


def test_ids_stay_integers_and_pairs_by_their_distances_are_warned_of(caplog):
    model = Reader().eval()
    decompose(model, "first", (IDS[:60], Y), (IDS[60:], YT))
    assert "mean nothing between ids" in caplog.text
    caplog.clear()
    decompose(model, "first", (IDS[:60], Y), (IDS[60:], YT), pairs="activities")
    assert not caplog.text


def test_integers_for_a_network_of_floats_are_floats(caplog):
    pixels, others = (np.round(30 * part).astype(np.int16) for part in (X, XT))
    found = decompose(network(), "0", (pixels, Y), (others, YT))
    assert found == decompose(network(), "0", (pixels.astype(float), Y), (others.astype(float), YT))
    assert not caplog.text
