"""MNIST and datasets in its format, idx: four files in the data root, downloaded from the first mirror that answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from awduality.data.dataset import Dataset
from awduality.data.download import download
from awduality.data.torchvision_import import torchvision_datasets
from awduality.errors import InputError
from awduality.files import reading, sha256


@dataclass(frozen=True)
class IdxSource:
    """A dataset in MNIST's idx format: its files, their digests and where they can be downloaded."""

    title: str
    licence: str
    citation: str
    torchvision_class: str
    classes: tuple[str, ...]
    mirrors: tuple[str, ...]
    archives: Mapping[str, str]  # file name -> SHA-256 of its .gz archive
    digests: Mapping[str, str]  # file name -> SHA-256 of the uncompressed file, where known


_SIZES = {  # bytes of the uncompressed files: 16 or 8 of header, then one byte a pixel or label
    "train-images-idx3-ubyte": 16 + 60_000 * 784,
    "train-labels-idx1-ubyte": 8 + 60_000,
    "t10k-images-idx3-ubyte": 16 + 10_000 * 784,
    "t10k-labels-idx1-ubyte": 8 + 10_000,
}

IDX_SOURCES: Mapping[str, IdxSource] = {
    "mnist": IdxSource(
        title="MNIST",
        licence="CC BY-SA 3.0",
        citation="LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition, "
        "Proc. IEEE 86, 2278 (1998)",
        torchvision_class="MNIST",
        classes=tuple("0123456789"),
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "http://yann.lecun.com/exdb/mnist/",
        ),
        archives={
            "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
        digests={
            "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
    ),
    "fashion_mnist": IdxSource(
        title="Fashion-MNIST",
        licence="MIT",
        citation="Xiao, Rasul & Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine learning "
        "algorithms, arXiv 1708.07747 (2017)",
        torchvision_class="FashionMNIST",
        classes=(
            "T-shirt/top",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        archives={
            "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
        digests={},
    ),
}


def load_idx(spec: IdxSource, root: Path) -> Dataset:
    """Load a dataset from its idx files, downloading them into the data root where one is absent.

    Raises:
        InputError: a file that is truncated or altered; absent files that cannot be downloaded.
    """
    folder = root / spec.torchvision_class / "raw"
    if not all((folder / name).exists() for name in _SIZES):
        _download(spec, root, folder)
    files = {name: _checked_digest(spec, reading(folder / name)) for name in _SIZES}
    reader = getattr(torchvision_datasets(), spec.torchvision_class)
    train, test = (reader(root, train=part, download=False) for part in (True, False))
    return Dataset(
        title=spec.title,
        licence=spec.licence,
        citation=spec.citation,
        classes=spec.classes,
        image_shape=(1, 28, 28),
        scale=255.0,
        train_pixels=train.data.flatten(1).numpy(),
        train_labels=train.targets.numpy(),
        test_pixels=test.data.flatten(1).numpy(),
        test_labels=test.targets.numpy(),
        sorted_test=False,
        held_out=0,
        files=files,
        verified=bool(spec.digests),
    )


def _checked_digest(spec: IdxSource, path: Path) -> str:
    size, wanted_size = path.stat().st_size, _SIZES[path.name]
    if size != wanted_size:
        raise InputError(
            f"{path} is truncated or not {spec.title}: got {size:,} bytes, wanted {wanted_size:,}. "
            "Delete it and run again (it is downloaded anew), or put an intact copy in its place."
        )
    digest, wanted = sha256(path), spec.digests.get(path.name)
    if wanted is not None and digest != wanted:
        raise InputError(
            f"{path} is not the official {spec.title} file: got SHA-256 {digest}, wanted {wanted}. "
            "Delete it and run again (it is downloaded anew), or put an intact copy in its place."
        )
    return digest


def _download(spec: IdxSource, root: Path, folder: Path) -> None:
    """Fetch all files, check archives and content, and put what is absent into the data root."""
    reader = getattr(torchvision_datasets(), spec.torchvision_class)
    mirrored = type(spec.torchvision_class, (reader,), {"mirrors": list(spec.mirrors)})

    def fetch(temporary: Path) -> Path:
        mirrored(temporary, train=True, download=True)
        fetched = temporary / spec.torchvision_class / "raw"
        for name, wanted in spec.archives.items():
            if (digest := sha256(fetched / f"{name}.gz")) != wanted:
                raise InputError(
                    f"the downloaded {name}.gz is not the official {spec.title} file: got SHA-256 {digest}, "
                    f"wanted {wanted}. Nothing was kept; try again later, or put the files into {folder}/ by hand."
                )
            _checked_digest(spec, fetched / name)
        return fetched

    by_hand = (
        f"Put {', '.join(_SIZES)} (uncompressed) into {folder}/, or name the folder that holds "
        f"{spec.torchvision_class}/ in the environment variable AWDUALITY_DATA."
    )
    download(spec.title, root, folder, tuple(_SIZES), fetch, by_hand)
