"""What somebody could do who wants a run to look like another: repaint, edit, and seal everything again."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from awduality.audit.tree import Tree
from awduality.files import sha256
from awduality.provenance import origin, provenance
from awduality.records import canonical, digest_of, figure_digest

PNG = b"\x89PNG\r\n\x1a\n"


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a record and refresh its own digest."""
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record)
    write(path, record)


def write(path: Path, record: dict[str, Any]) -> None:
    """Write a record with the digest that its content has."""
    content = {key: value for key, value in record.items() if key != "digest"}
    path.write_text(canonical({**content, "digest": digest_of(content)}) + "\n", encoding="utf-8")


def reseal(root: Path, config: str = "smoke") -> None:
    """Refresh every digest, size, figure id and summary from the first record to the seal: a forgery without a seam."""
    tree = Tree(root, config)
    for job in TopologicalSorter({name: tree.before(name) for name in tree.records}).static_order():
        record, folder = tree.records[job], f"figures/{config}"
        for entry in record["inputs"]:
            _refresh(root, entry)
        for entry in record["after"]:
            entry["sha256"] = sha256(root / entry["path"])
        before = [tree.records[Path(entry["path"]).stem] for entry in record["after"]]
        if job == "origin":
            resolved = json.loads((root / f"results/{config}/config.json").read_text(encoding="utf-8"))
            _write_json(root / f"{folder}/origin.json", origin(before, resolved))
        if job == "provenance":
            gathered = json.loads((root / f"{folder}/origin.json").read_text(encoding="utf-8"))
            whence = (f"{folder}/origin.json", sha256(root / f"{folder}/origin.json"))
            _write_json(root / f"{folder}/provenance.json", provenance(before, whence, gathered["tables"]))
        for entry in record["outputs"]:
            if record["script"] == "scripts/draw.py":
                numbers = {Path(given["path"]).name: given["sha256"] for given in record["inputs"]}
                embed(root / entry["path"], figure_digest(record["code"], record["parameters"], numbers), numbers)
            _refresh(root, entry)
        write(root / tree.record_file(job), record)
        tree.records[job] = json.loads((root / tree.record_file(job)).read_text(encoding="utf-8"))


def _refresh(root: Path, entry: dict[str, Any]) -> None:
    if (place := root / entry["path"]).is_file():
        entry.update(bytes=place.stat().st_size, sha256=sha256(place))


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of a PNG's chunks."""
    place = len(PNG)
    while place < len(content):
        size, kind = struct.unpack(">I4s", content[place : place + 8])
        yield kind, content[place + 8 : place + 8 + size]
        place += size + 12


def assemble(parts: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of chunks, with right check sums."""
    return PNG + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def embed(path: Path, identifier: str, numbers: dict[str, str]) -> None:
    """Give a figure another origin."""
    if path.suffix == ".png":
        text = b"awduality\0\0\0\0\0" + canonical({"figure_id": identifier, "numbers": numbers}).encode()
        parts = [(kind, text if kind == b"iTXt" else data) for kind, data in chunks(path.read_bytes())]
        path.write_bytes(assemble(parts))
    else:
        source = " ".join(f"{name}=sha256:{digest}" for name, digest in sorted(numbers.items()))
        svg = re.sub("(?<=awduality:)[0-9a-f]{64}", identifier, path.read_text(encoding="utf-8"))
        path.write_text(re.sub("(?<=<dc:source>)[^<]*", source, svg), encoding="utf-8")


def repaint(path: Path) -> None:
    """Change what a figure shows and leave everything that it says of itself."""
    if path.suffix == ".png":
        parts = list(chunks(path.read_bytes()))
        pixels = bytearray(zlib.decompress(b"".join(data for kind, data in parts if kind == b"IDAT")))
        for place in range(len(pixels) // 2, len(pixels) // 2 + 40):
            pixels[place] ^= 0x7F
        others = [part for part in parts if part[0] not in (b"IDAT", b"IEND")]
        path.write_bytes(assemble([*others, (b"IDAT", zlib.compress(bytes(pixels))), (b"IEND", b"")]))
    else:
        svg = path.read_text(encoding="utf-8")
        colour = re.findall("#[0-9a-f]{6}", svg)[-1]
        path.write_text(svg.replace(colour, "#ff0000"), encoding="utf-8")
