"""A run: one setting of everything that a study varies, and one seed. Standard library only."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

Settings = dict[str, Any]
"""Name → value of everything that tells runs of a study apart, beside their seed."""


@dataclass(frozen=True)
class Run:
    """One setting and one seed index."""

    settings: Settings
    seed: int

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that depend on the settings and the seed alone."""
        canonical = json.dumps({"settings": self.settings, "seed": self.seed}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]
