"""Named random streams: every random number of the project comes from one of these.

A stream is addressed by the root seed of the config, a purpose and the seed index of a run, and by nothing else. So a
run's numbers depend neither on its neighbours nor on the order of the work, and runs of the same seed index that differ
in a factor share their initial draws, batch order and masks (common random numbers).

The mapping is fixed for good: changing it changes every result.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np

from awduality.errors import InputError
from awduality.ledger import OpenedStream, current
from awduality.purposes import PURPOSES

_OF_A_STUDY = re.compile(r"[a-z][a-z0-9_]*/[a-z][a-z0-9_]*")
"""A study's own purposes, ``<study>/<purpose>``: no two studies share a stream, and none needs a list."""


def stream_key(root_seed: int, purpose: str, index: int) -> int:
    """The 128-bit Philox key of a stream: the first half of SHA-256 over ``awduality/1/<root>/<purpose>/<index>``.

    Raises:
        InputError: an unknown purpose, or a negative seed.
    """
    if purpose not in PURPOSES and not _OF_A_STUDY.fullmatch(purpose):
        raise InputError(
            f"unknown random stream {purpose!r}: wanted <study>/<purpose>, or one of {', '.join(PURPOSES)}"
        )
    if root_seed < 0 or index < 0:
        raise InputError(f"seeds are non-negative integers: got root seed {root_seed} and seed index {index}")
    digest = hashlib.sha256(f"awduality/1/{root_seed}/{purpose}/{index}".encode()).digest()
    return int.from_bytes(digest[:16], "little")


def stream(root_seed: int, purpose: str, index: int) -> np.random.Generator:
    """A fresh generator at the start of the stream of ``purpose`` for seed index ``index``."""
    key = stream_key(root_seed, purpose, index)
    generator = np.random.Generator(np.random.Philox(key=key))
    if (step := current()) is not None:
        step.streams.append(OpenedStream(root_seed, purpose, index, key, generator))
    return generator


def words_drawn(generator: np.random.Generator) -> int:
    """How many 64-bit words a generator of ``stream`` has taken from its stream, from its own state.

    Philox makes four words per step of its counter and keeps those not yet taken in a buffer.
    """
    state: dict[str, Any] = dict(generator.bit_generator.state)
    blocks = sum(int(word) << (64 * place) for place, word in enumerate(state["state"]["counter"]))
    return 4 * blocks - (4 - int(state["buffer_pos"]))
