"""The origin that a figure carries: read from a PNG's or an SVG's bytes."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

LARGEST = 2**24
"""Bytes of a file in which an origin is looked for; it stands near the beginning."""

_PNG = b"\x89PNG\r\n\x1a\n"


def embedded_origin(path: Path) -> tuple[str, dict[str, str]] | None:
    """Figure id and the digests of the numbers drawn (file name → SHA-256), as ``figures.style.savefig`` put them.

    Returns:
        None where the image carries none, or is damaged.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST)
    except OSError:
        return None
    if content.startswith(_PNG):
        return _from_png(content)
    return _from_svg(content[:20_000].decode("utf-8", errors="replace"))


def _from_png(content: bytes) -> tuple[str, dict[str, str]] | None:
    place = len(_PNG)
    while place + 8 <= len(content):
        size, kind = struct.unpack(">I4s", content[place : place + 8])
        if kind == b"iTXt":
            # keyword, NUL, compression flag and method, language, NUL, translated keyword, NUL, text
            keyword, _, rest = content[place + 8 : place + 8 + size].partition(b"\0")
            if keyword == b"awduality":
                try:
                    origin = json.loads(rest[2:].split(b"\0", 2)[2])
                    numbers = {str(name): str(digest) for name, digest in origin["numbers"].items()}
                    return str(origin["figure_id"]), numbers
                except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
                    return None
        place += size + 12
    return None


def _from_svg(head: str) -> tuple[str, dict[str, str]] | None:
    identifier = re.search(r"<dc:identifier>awduality:([0-9a-f]{64})</dc:identifier>", head)
    source = re.search(r"<dc:source>([^<]*)</dc:source>", head)
    if identifier is None or source is None:
        return None
    return identifier[1], dict(re.findall(r"(\S+)=sha256:([0-9a-f]{64})", source[1]))
