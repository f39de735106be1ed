"""A user's own images: a folder or a tar, against torchvision's ImageFolder as an oracle."""

import errno
import hashlib
import io
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from awduality.audit.science import _images
from awduality.data import image_folder
from awduality.data.image_folder import LISTING, Description, images_in_folder, images_in_tar, listing
from awduality.data.sources import load
from awduality.data.splits import data_card, split_arrays
from awduality.data.torchvision_import import torchvision_datasets
from awduality.errors import InputError
from awduality.ledger import kept

KINDS = {"b-cat": 5, "b": 3, "Zebra": 4}  # in order: Zebra, b, b-cat
CIFAR10_JPEG = "cifar10-jpeg.tar"


def png(rng, size=(4, 6), mode="RGB"):
    """A random image of ``size`` (height, width) as the content of a PNG file."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}.get(mode, (3,))
    image = Image.fromarray(rng.integers(0, 256, (*size, *channels), dtype=np.uint8)).convert(mode)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def fill(folder, rng, **options):
    """A folder of images, in no particular order of making."""
    for part, more in (("test", 0), ("train", 2)):
        for kind, count in KINDS.items():
            (folder / part / kind).mkdir(parents=True)
            for number in reversed(range(count + more)):
                (folder / part / kind / f"{number:02}.png").write_bytes(png(rng, **options))


@pytest.fixture
def data_root(tmp_path, rng):
    fill(tmp_path / "mine", rng)
    return tmp_path


def pack(folder, target, top="", names=None):
    """A tar of a folder's files, below ``top``, in the given order."""
    with tarfile.open(target, "w") as tar:
        for name in names or sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")):
            tar.add(folder / name, top + name, recursive=False)
    return target


def oracle(folder, part):
    """What torchvision reads: images (N, H, W, 3), labels and classes."""
    read = torchvision_datasets().ImageFolder(folder / part)
    return np.stack([np.asarray(image) for image, _ in read]), np.array(read.targets), read.classes


def same(one, other):
    arrays = ("train_pixels", "train_labels", "test_pixels", "test_labels")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)


def test_images_labels_and_order_are_those_of_torchvision(data_root):
    dataset = load("image_folder", data_root, "mine")
    assert dataset.image_shape == (3, 4, 6)
    for part, pixels, labels in (
        ("train", dataset.train_pixels, dataset.train_labels),
        ("test", dataset.test_pixels, dataset.test_labels),
    ):
        images, targets, classes = oracle(data_root / "mine", part)
        assert np.array_equal(pixels.reshape(-1, *dataset.image_shape).transpose(0, 2, 3, 1), images)
        assert np.array_equal(labels, targets)
        assert list(dataset.classes) == classes == ["Zebra", "b", "b-cat"]


def test_grey_images_have_one_channel(tmp_path, rng):
    fill(tmp_path / "grey", rng, mode="L", size=(5, 3))
    dataset = load("image_folder", tmp_path, "grey")
    assert dataset.image_shape == (1, 5, 3)
    images, _, _ = oracle(tmp_path / "grey", "test")  # torchvision makes three equal channels of one
    assert np.array_equal(dataset.test_pixels.reshape(-1, 5, 3), images[..., 1])


@pytest.mark.parametrize("top", ["", "./", "mine/", "./some folder/"])
def test_a_tar_equals_the_folder_that_it_was_made_of(data_root, top):
    pack(data_root / "mine", data_root / "mine.tar", top)
    folder, tar = (load("image_folder", data_root, name) for name in ("mine", "mine.tar"))
    assert same(folder, tar)
    assert (folder.classes, folder.image_shape) == (tar.classes, tar.image_shape)
    assert (folder.title, tar.title) == ("mine", "mine.tar")


NAME = st.text(alphabet="aB9-_ .é(", min_size=1, max_size=3).filter(lambda name: not name.startswith("."))


@settings(max_examples=40)
@given(st.dictionaries(NAME, st.sets(NAME, min_size=1, max_size=3), min_size=2, max_size=4), st.randoms())
def test_whatever_the_names_folder_and_tar_are_read_in_the_order_of_torchvision(kinds, random):
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "mine"
        for part in ("train", "test"):
            for kind, names in kinds.items():
                (folder / part / kind).mkdir(parents=True)
                for name in names:
                    (folder / part / kind / f"{name}.png").write_text(f"{part}{kind}{name}")
        found = images_in_folder(folder)
        for part in ("train", "test"):
            wanted = [
                Path(path).relative_to(folder) for path, _ in torchvision_datasets().ImageFolder(folder / part).imgs
            ]
            assert [Path(name) for name in found if name.startswith(f"{part}/")] == wanted
        with tarfile.open(
            pack(folder, folder.with_suffix(".tar"), "x/", random.sample(list(found), len(found)))
        ) as tar:
            packed = images_in_tar(folder, tar)
            assert list(packed) == list(found)
            assert listing(packed) == listing(found)
        assert {name: read() for name, read in found.items()} == {n: (folder / n).read_bytes() for n in found}


def test_a_part_of_the_test_images_is_drawn_from_all_classes(data_root):
    dataset = load("image_folder", data_root, "mine")
    arrays = split_arrays(dataset, 1, {"start": 0, "count": 18}, {"start": 2, "count": 9})
    order = np.random.RandomState(1).permutation(12)[2:11]
    assert np.array_equal(arrays["test_indices"], order)
    assert np.array_equal(arrays["test_pixels"], dataset.test_pixels[order])
    assert set(arrays["test_labels"]) == {0, 1, 2}
    assert data_card(dataset, "image_folder", 1, arrays)["test_order"] == "numpy.random.RandomState(1).permutation(12)"


def test_the_card_of_unknown_images_says_so_and_has_their_shape_and_digest(data_root):
    dataset = load("image_folder", data_root, "mine")
    arrays = split_arrays(dataset, 1, {"start": 0, "count": 18}, {"start": 0, "count": 12})
    card = data_card(dataset, "image_folder", 1, arrays)
    assert card["title"] == "mine"
    assert card["licence"] == card["citation"] == "not known: the user's own"
    assert card["raw_files_compared_with_known_digests"] is False
    assert (card["image_shape"], card["features"]) == ([3, 4, 6], 72)
    assert card["test"]["class_counts"] == KINDS
    assert list(card["raw_files_sha256"]) == [LISTING]


def test_the_digest_of_a_folder_is_that_of_the_listing_that_sha256sum_prints(data_root):
    command = "find train test -mindepth 2 -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    done = subprocess.run(["sh", "-c", command], cwd=data_root / "mine", capture_output=True, text=True, check=True)
    entry = listing(images_in_folder(data_root / "mine"))
    assert done.stdout.split()[0] == entry.sha256
    assert entry.size == sum(path.stat().st_size for path in (data_root / "mine").rglob("*.png"))


def test_the_record_has_one_entry_for_a_folder_and_one_for_a_tar(data_root):
    pack(data_root / "mine", data_root / "mine.tar")
    with kept() as ledger:
        dataset = load("image_folder", data_root, "mine")
    assert ledger.inputs == {LISTING: listing(images_in_folder(data_root / "mine"))}
    assert dataset.files == {LISTING: ledger.inputs[LISTING].sha256}
    with kept() as ledger:
        dataset = load("image_folder", data_root, "mine.tar")
    digest = hashlib.sha256((data_root / "mine.tar").read_bytes()).hexdigest()
    assert {path: entry.sha256 for path, entry in ledger.inputs.items()} == {data_root / "mine.tar": digest}
    assert dataset.files == {"mine.tar": digest}


def test_a_known_archive_has_the_title_and_licence_of_the_table(data_root, monkeypatch):
    digest = hashlib.sha256(pack(data_root / "mine", data_root / "mine.tar").read_bytes()).hexdigest()
    known = Description("Animals", "CC0", "somebody (2020)")
    monkeypatch.setattr(image_folder, "KNOWN_ARCHIVES", {digest: known})
    dataset = load("image_folder", data_root, "mine.tar")
    assert (dataset.title, dataset.licence, dataset.citation) == ("Animals", "CC0", "somebody (2020)")
    assert dataset.verified


def test_the_audit_finds_an_altered_image_of_a_folder_and_says_where_it_found_none(data_root, monkeypatch, rng):
    recorded = {LISTING: listing(images_in_folder(data_root / "mine")).sha256}

    def audited():
        return [(finding.status, finding.found) for finding in _images(data_root, "mine", recorded)]

    monkeypatch.setenv("AWDUALITY_DATA", str(data_root))
    assert audited() == []
    (data_root / "mine/test/b/00.png").write_bytes(png(rng))
    assert [status for status, _ in audited()] == ["failed"]
    (data_root / "mine/train").rename(data_root / "mine/elsewhere")
    assert audited()[0][0] == "failed"
    assert "of 0 classes in train/" in audited()[0][1]
    monkeypatch.setenv("AWDUALITY_DATA", "nowhere")
    assert audited() == [("not checked", "no mine in the data root")]


def test_hidden_files_and_what_lies_beside_the_classes_are_ignored(data_root):
    mine = data_root / "mine"
    before = load("image_folder", data_root, "mine")
    for name in ("README", "train/notes.txt", "train/.DS_Store", "train/b/._00.png", "test/.hidden/00.png"):
        (mine / name).parent.mkdir(exist_ok=True)
        (mine / name).write_text("no image")
    pack(mine, data_root / "mine.tar")
    for name in ("mine", "mine.tar"):
        assert same(load("image_folder", data_root, name), before)
    assert load("image_folder", data_root, "mine").files == before.files


def remove(folder):
    for path in folder.iterdir():
        path.unlink()


BAD = {
    "an image of another size": (
        lambda mine, rng: (mine / "train/b/02.png").write_bytes(png(rng, (6, 4))),
        r"train/b/02.png has 6×4 pixels with 3 channels \(height×width\), wanted 4×6 .* as train/Zebra/00.png has",
    ),
    "a grey image among coloured ones": (
        lambda mine, rng: (mine / "test/b/02.png").write_bytes(png(rng, mode="L")),
        "test/b/02.png has 4×6 pixels with 1 channels",
    ),
    "a file that is no image": (
        lambda mine, rng: (mine / "train/b/notes.txt").write_text("notes"),
        "train/b/notes.txt is not an image that Pillow can read .* Move it away",
    ),
    "a truncated image": (
        lambda mine, rng: (mine / "train/b/02.png").write_bytes(png(rng)[:-30]),
        "train/b/02.png is not an image that Pillow can read",
    ),
    "transparency": (
        lambda mine, rng: (mine / "train/b/02.png").write_bytes(png(rng, mode="RGBA")),
        "train/b/02.png is an image of Pillow's mode RGBA, wanted 8 bits of grey",
    ),
    "a palette": (
        lambda mine, rng: (mine / "train/b/02.png").write_bytes(png(rng, mode="P")),
        "of Pillow's mode P, wanted",
    ),
    "a class without test images": (
        lambda mine, rng: remove(mine / "test/b"),
        r"the class 'b' has images in train/ but none in test/, .* Add images to test/b/, or move train/b/ away",
    ),
    "a class without training images": (
        lambda mine, rng: remove(mine / "train/b"),
        r"the class 'b' has images in test/ but none in train/",
    ),
    "no test folder": (
        lambda mine, rng: (mine / "test").rename(mine / "validation"),
        r"got images of 3 classes in train/ and of 0 in test/, wanted images in train/<class>/ and test/<class>/",
    ),
    "a folder in a class folder": (
        lambda mine, rng: (mine / "train/b").rename(mine / "train/Zebra/b"),
        r"(is not a file|lies too deep).* and no folders below",
    ),
    "a name with a line feed": (
        lambda mine, rng: (mine / "train/b/02.png").rename(mine / "train/b/02\n.png"),
        r"'train/b/02\\n.png' is a name that cannot be printed, wanted one in UTF-8: rename it",
    ),
}


@pytest.mark.parametrize("form", ["folder", "tar"])
@pytest.mark.parametrize("name", BAD)
def test_images_that_cannot_be_used_are_refused_and_named(data_root, rng, name, form):
    spoil, message = BAD[name]
    spoil(data_root / "mine", rng)
    if form == "tar":
        pack(data_root / "mine", data_root / "mine.tar")
    with pytest.raises(InputError, match=message):
        load("image_folder", data_root, "mine" if form == "folder" else "mine.tar")


@pytest.mark.parametrize("left", [0.4, 0.6, 0.9])
def test_a_tar_that_was_cut_short_is_refused_wherever_the_cut(data_root, left):
    pack(data_root / "mine", data_root / "mine.tar")
    whole = (data_root / "mine.tar").read_bytes().rstrip(b"\0")
    (data_root / "mine.tar").write_bytes(whole[: 512 * int(len(whole) * left / 512)])
    with pytest.raises(InputError, match="not a whole, uncompressed tar file"):
        load("image_folder", data_root, "mine.tar")


def test_an_empty_folder_says_what_was_looked_for_where_and_how_to_name_another(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError) as caught:
        load("image_folder", tmp_path, "mine")
    for part in (f"{tmp_path}/mine", "of 0 classes in train/", "train/<class>/", "export AWDUALITY_DATA="):
        assert part in str(caught.value)


def test_an_absent_folder_says_so_too(tmp_path):
    with pytest.raises(InputError) as caught:
        load("image_folder", tmp_path, "mine")
    for part in (f"there is no {tmp_path}/mine", "train/<class>/", f"{tmp_path}/", "export AWDUALITY_DATA="):
        assert part in str(caught.value)


@pytest.mark.parametrize("folder", ["/etc", "../mine", "a/../../mine", "", "."])
def test_a_folder_outside_the_data_root_is_refused(tmp_path, folder):
    with pytest.raises(InputError, match=r"data.folder: got .* wanted a folder or .tar file as a path within"):
        load("image_folder", tmp_path, folder)


def test_a_folder_is_asked_for_by_one_source_and_refused_by_the_others(tmp_path):
    with pytest.raises(InputError, match="data.folder: got none, wanted a folder or .tar file"):
        load("image_folder", tmp_path)
    for source in ("digits", "mnist", "cifar10"):
        with pytest.raises(InputError, match=f"data.folder: got mine, wanted none, since data.source is {source}"):
            load(source, tmp_path, "mine")


def test_a_broken_link_in_a_folder_is_refused(data_root):
    (data_root / "mine/train/b/99.png").symlink_to("nowhere.png")
    with pytest.raises(InputError, match=r"train/b/99.png is not a file"):
        load("image_folder", data_root, "mine")


def test_an_image_without_permission_is_named(data_root, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(InputError, match=r"\.png cannot be read \(Permission denied\)"):
        load("image_folder", data_root, "mine")


def member(name, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "bad",
    [
        member("train/b/../../../escape.png"),
        member("../escape.png"),
        member("/tmp/escape.png"),
        member("train/b/99.png", tarfile.SYMTYPE, "/etc/passwd"),
        member("train/b/99.png", tarfile.LNKTYPE, "train/b/00.png"),
        member("train/b/99.png", tarfile.FIFOTYPE),
        member("train/b/99.png", tarfile.CHRTYPE),
    ],
    ids=lambda info: f"{info.name} of type {info.type.decode()}",
)
def test_links_and_names_that_lead_out_of_a_tar_are_refused_and_nothing_is_written(data_root, bad):
    path = pack(data_root / "mine", data_root / "mine.tar")
    with tarfile.open(path, "a") as tar:
        tar.addfile(bad)
    before = sorted(data_root.rglob("*"))
    with pytest.raises(InputError, match="is a link, is no file, or leads out of the archive"):
        load("image_folder", data_root, "mine.tar")
    assert sorted(data_root.rglob("*")) == before


def test_a_tar_with_two_sets_of_images_is_refused(data_root):
    path = pack(data_root / "mine", data_root / "mine.tar", "one/")
    with tarfile.open(path, "a") as tar:
        tar.add(data_root / "mine/train/b/00.png", "two/train/b/00.png")
    with pytest.raises(InputError, match=r"several folders with train/ or test/ \(one, two\), wanted one"):
        load("image_folder", data_root, "mine.tar")


def test_a_compressed_a_cut_and_a_wrong_file_are_no_tar(data_root):
    whole = pack(data_root / "mine", data_root / "mine.tar").read_bytes()
    with tarfile.open(data_root / "packed.tar.gz", "w:gz") as tar:
        tar.add(data_root / "mine", "mine")
    (data_root / "cut.tar").write_bytes(whole[: len(whole) // 3])
    (data_root / "other.tar").write_text("no tar")
    for name in ("packed.tar.gz", "cut.tar", "other.tar"):
        with pytest.raises(InputError, match=rf"{name} is not a whole, uncompressed tar file"):
            load("image_folder", data_root, name)


@pytest.mark.cifar10_jpeg
def test_the_jpeg_copy_of_cifar10_is_read_from_its_tar(root):
    folder = Path(os.environ.get("AWDUALITY_DATA", root / "data"))
    if not (folder / CIFAR10_JPEG).exists():
        pytest.skip(f"{CIFAR10_JPEG} is not in {folder}: name the folder that holds it in AWDUALITY_DATA")
    dataset = load("image_folder", folder, CIFAR10_JPEG)
    assert (dataset.title, dataset.verified) == ("CIFAR-10 (JPEG re-encoding)", True)
    assert dataset.train_pixels.shape == (50_000, 3072)
    assert dataset.image_shape == (3, 32, 32)
    assert np.array_equal(dataset.train_labels, np.repeat(np.arange(10), 5000))
    assert np.array_equal(dataset.test_labels, np.repeat(np.arange(10), 1000))
    assert dataset.classes == ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    with tarfile.open(folder / CIFAR10_JPEG) as tar:
        image = Image.open(tar.extractfile("cifar10-jpeg/test/bird/0007.jpg"))
        assert np.array_equal(dataset.test_pixels[2007].reshape(3, 32, 32).transpose(1, 2, 0), np.asarray(image))
