"""Raw files are downloaded beside their place, checked, and moved into it: none is ever half there."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from awduality.errors import InputError

_TIMEOUT = 60.0  # seconds without an answer from a server


def download(
    title: str, root: Path, folder: Path, names: Sequence[str], fetch: Callable[[Path], Path], by_hand: str
) -> None:
    """Fetch files into a temporary folder in the data root, then move those that are absent into place.

    Args:
        title: what is downloaded.
        root: the data root; made where it is absent.
        folder: where the files belong, within the data root.
        names: the files.
        fetch: downloads into the folder that it is given, checks, and returns the folder that holds the files.
        by_hand: what to do where this fails.

    Raises:
        InputError: the files cannot be downloaded, or ``fetch`` refuses them; nothing is kept.
    """
    timeout = socket.getdefaulttimeout()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as temporary:
            socket.setdefaulttimeout(_TIMEOUT)
            fetched = fetch(Path(temporary))
            folder.mkdir(parents=True, exist_ok=True)
            for name in (name for name in names if not (folder / name).exists()):
                shutil.move(fetched / name, folder / name)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{title} is not in the data root and could not be downloaded ({str(error).strip()}). {by_hand} "
            "The default config needs no download: run it without --configfile."
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)
