"""A user's own images: ``{train,test}/<class>/<image>`` in a folder of the data root, or in a tar file of that layout.

This is what ``torchvision.datasets.ImageFolder`` reads, in its order: classes and images by name. Hidden files, and
what lies beside the class folders, are ignored; all else that is not an image like the others is refused. A tar is read
in memory and nothing is unpacked, so that no name in it can lead anywhere.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from awduality.commandline import Progress
from awduality.data import cifar10
from awduality.data.dataset import Dataset
from awduality.errors import InputError
from awduality.files import reading, sha256
from awduality.ledger import FileEntry, current

Images = Mapping[str, Callable[[], bytes]]  # <part>/<class>/<image> → reads its content

_END = 1024  # bytes of zeros that end a tar
LISTING = "image_folder (listing)"
"""How a record calls the images of a folder, which are too many to be named one by one; see ``listing``."""

_PARTS = ("train", "test")
_LAYOUT = "wanted images in train/<class>/ and test/<class>/, the same classes in both"
_ELSEWHERE = "or name the data root that holds it: export AWDUALITY_DATA=<folder>"
_CHANNELS = {"L": 1, "RGB": 3}  # Pillow's names for 8 bits of grey, and for 8 bits of each colour


@dataclass(frozen=True)
class Description:
    """What is known of a set of images."""

    title: str
    licence: str = "not known: the user's own"
    citation: str = "not known: the user's own"


KNOWN_ARCHIVES: Mapping[str, Description] = {  # by the SHA-256 of the tar file
    "06afdf532759f7a0e07dc35dda473aed6a8fb45a89d623e1284ef4db44293ec5": Description(
        title="CIFAR-10 (JPEG re-encoding)",
        licence="none stated upstream",
        citation=f"{cifar10.CITATION}. A JPEG re-encoding: its pixels differ from those of the official batches",
    ),
}


def load_image_folder(root: Path, folder: str) -> Dataset:
    """Load the images in a folder or tar file of the data root.

    Args:
        root: the data root.
        folder: the folder or the tar file, as a path within the data root.

    Returns:
        All images; n = C·H·W pixels each, in the order (channel, row, column), with C = 1 for grey and 3 for RGB.

    Raises:
        InputError: nothing there; another layout; a class in only one of train and test; a file that is not an image,
            or one that differs from the first in size or in being grey.
    """
    place = image_place(root, folder)
    try:
        if place.is_dir():
            images = images_in_folder(place)
            entry = listing(images)
            if (step := current()) is not None:
                step.inputs[LISTING] = entry
            return _dataset(place, images, Description(place.name), {LISTING: entry.sha256}, verified=False)
        digest = sha256(reading(place))
        known = KNOWN_ARCHIVES.get(digest)
        with tarfile.open(place, "r:") as tar:
            _check_end(place)
            images, description = images_in_tar(place, tar), known or Description(place.name)
            return _dataset(place, images, description, {place.name: digest}, verified=known is not None)
    except tarfile.TarError as error:
        raise InputError(
            f"{place} is not a whole, uncompressed tar file ({error}): {_LAYOUT} of a folder or .tar file. Unpack it, "
            "and name the folder; or put an intact copy in its place"
        ) from error
    except OSError as error:
        raise InputError(f"{error.filename or place} cannot be read ({error.strerror}): make it readable") from error


def _check_end(place: Path) -> None:
    """Raise what is raised for other damage where the zeros that end a tar are missing: ``tarfile`` does not mind."""
    with place.open("rb") as file:
        file.seek(-min(_END, place.stat().st_size), 2)
        if file.read() != bytes(_END):
            raise tarfile.ReadError("its end is missing")


def image_place(root: Path, folder: str) -> Path:
    """Where images lie.

    Raises:
        InputError: nothing is there, or it is not within the data root.
    """
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise InputError(
            f"data.folder: got {folder!r}, wanted a folder or .tar file as a path within the data root. Move it there, "
            f"{_ELSEWHERE}"
        )
    if not (root / path).exists():
        raise InputError(
            f"there is no {root / path}: {_LAYOUT} of the folder or .tar file {folder!r} in the data root. Put it into "
            f"{root}/, {_ELSEWHERE}"
        )
    return root / path


def listing(images: Images) -> FileEntry:
    """All bytes of a folder's images, and the one digest that stands for them.

    It is the SHA-256 of a text with the line ``<SHA-256 of the image>  <part>/<class>/<image>`` for each, in the order
    of the bytes of these paths. Where nothing is hidden and no name has a backslash, this says the same within the
    folder: ``find train test -mindepth 2 -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum``.
    """
    size, lines = 0, hashlib.sha256()
    for name in sorted(images):
        content = images[name]()
        size += len(content)
        lines.update(f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode())
    return FileEntry(size, lines.hexdigest())


def images_in_folder(place: Path) -> Images:
    """The images in a folder.

    Raises:
        InputError: another layout, or a class in only one of the parts.
    """

    def visible(folder: Path) -> list[Path]:
        return [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []

    found: dict[str, Callable[[], bytes]] = {}
    for part in _PARTS:
        for kind in filter(Path.is_dir, visible(place / part)):
            for path in visible(kind):
                if not path.is_file():
                    raise InputError(
                        f"{path} is not a file: {_LAYOUT}, and no folders below. Move it away, or what it holds up"
                    )
                found[f"{part}/{kind.name}/{path.name}"] = path.read_bytes
    return _checked(place, found)


def images_in_tar(place: Path, tar: tarfile.TarFile) -> Images:
    """The images in a tar; one folder in it may hold ``train/`` and ``test/``.

    Raises:
        InputError: a link, a name that leads out of the archive, and what ``images_in_folder`` refuses.
    """
    found: dict[str, Callable[[], bytes]] = {}
    above = set()  # the folders that hold train/ and test/
    for member in tar.getmembers():
        parts = PurePosixPath(member.name).parts
        if member.name.startswith("/") or ".." in parts or not (member.isfile() or member.isdir()):
            raise InputError(
                f"{member.name} in {place} is a link, is no file, or leads out of the archive. Pack it anew within the "
                f"folder that holds train/ and test/: tar --dereference --hard-dereference -cf {place.name} train test"
            )
        inner = parts[0 if parts[:1] in [(part,) for part in _PARTS] else 1 :]
        if member.isdir() or len(inner) < 3 or inner[0] not in _PARTS or any(p.startswith(".") for p in parts):
            continue
        if len(inner) > 3:
            raise InputError(
                f"{member.name} in {place} lies too deep: {_LAYOUT}, and no folders below. Pack it anew without them"
            )
        above.add(parts[:-3])
        found["/".join(inner)] = partial(_content, tar, member)
    if len(above) > 1:
        folders = ", ".join(sorted("/".join(parts) or "." for parts in above))
        raise InputError(f"{place} has several folders with train/ or test/ ({folders}), wanted one: pack one of them")
    return _checked(place, found)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member)
    assert stream is not None  # a plain file
    return stream.read()


def _checked(place: Path, found: Images) -> Images:
    """The images in the order of their parts, classes and names, if there are any of every class in both parts."""
    train, test = ({name.split("/")[1] for name in found if name.startswith(f"{part}/")} for part in _PARTS)
    if not train or not test:
        got = f"images of {len(train)} classes in train/ and of {len(test)} in test/"
        raise InputError(f"{place}: got {got}, {_LAYOUT}. Put them there, {_ELSEWHERE}")
    if train != test:
        kind = min(train ^ test)
        here, there = _PARTS if kind in train else reversed(_PARTS)
        raise InputError(
            f"{place}: the class {kind!r} has images in {here}/ but none in {there}/, {_LAYOUT}, since samples are "
            f"paired within their class. Add images to {there}/{kind}/, or move {here}/{kind}/ away"
        )
    if other := [name for name in found if not name.isprintable()]:
        raise InputError(f"{place}: {other[0]!r} is a name that cannot be printed, wanted one in UTF-8: rename it")
    return {name: found[name] for name in sorted(found, key=lambda name: name.split("/"))}


def _dataset(
    place: Path, images: Images, description: Description, files: Mapping[str, str], verified: bool
) -> Dataset:
    names = {part: [name for name in images if name.startswith(f"{part}/")] for part in _PARTS}
    classes = tuple(dict.fromkeys(name.split("/")[1] for name in names["train"]))
    first = names["train"][0]
    shape = _pixels(place, first, images[first]()).shape
    progress = Progress(len(images), "image")

    def read(part: str) -> tuple[np.ndarray, np.ndarray]:
        pixels = np.empty((len(names[part]), *shape), np.uint8)
        for row, name in enumerate(names[part]):
            image = _pixels(place, name, images[name]())
            if image.shape != shape:
                got, wanted = ("{1}×{2} pixels with {0} channels".format(*size) for size in (image.shape, shape))
                raise InputError(
                    f"{place}: {name} has {got} (height×width), wanted {wanted} as {first} has: all images must be of "
                    "one size, and all grey or all RGB. Convert it, or move it away"
                )
            pixels[row] = image
            progress(1)
        labels = [classes.index(name.split("/")[1]) for name in names[part]]
        return pixels.reshape(len(pixels), -1), np.array(labels, dtype=np.int64)

    (train_pixels, train_labels), (test_pixels, test_labels) = map(read, _PARTS)
    channels, height, width = shape
    return Dataset(
        title=description.title,
        licence=description.licence,
        citation=description.citation,
        classes=classes,
        image_shape=(channels, height, width),
        scale=255.0,
        train_pixels=train_pixels,
        train_labels=train_labels,
        test_pixels=test_pixels,
        test_labels=test_labels,
        sorted_test=True,
        held_out=0,
        files=files,
        verified=verified,
    )


def _pixels(place: Path, name: str, content: bytes) -> np.ndarray:
    """(C, H, W) uint8 pixels of an image."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            mode, pixels = image.mode, np.asarray(image)
    except Exception as error:  # Pillow's many readers of damaged files raise all kinds
        raise InputError(
            f"{place}: {name} is not an image that Pillow can read ({error}). Move it away, or replace it by an image"
        ) from error
    if mode not in _CHANNELS:
        raise InputError(
            f"{place}: {name} is an image of Pillow's mode {mode}, wanted 8 bits of grey (L) or of each colour (RGB), "
            "without transparency or palette. Convert it, or move it away"
        )
    return pixels.reshape(*pixels.shape[:2], _CHANNELS[mode]).transpose(2, 0, 1)
