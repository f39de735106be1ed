"""On what a step ran: Python, packages, processor, threads, determinism. No host or user name, no paths.

Reads only what is loaded already: a step that does without torch does not import it for its record.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "AWDUALITY_DEVICE",
    "CUBLAS_WORKSPACE_CONFIG",
    "MKL_CBWR",
    "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
)
"""The environment variables that can change results; no other is recorded."""


def environment() -> dict[str, Any]:
    """Everything about the running process that can change results."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_model(),
        "libraries": blas(),
        "torch": torch_build(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "packages": dict(sorted(imported_packages())),
    }


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def blas() -> list[dict[str, Any]]:
    """The loaded libraries for linear algebra and threads: version, the kernels chosen for this processor, threads."""
    if "numpy" not in sys.modules:
        return []
    from threadpoolctl import threadpool_info

    loaded = {
        (library["internal_api"], library["version"] or "", library.get("architecture", ""), library["num_threads"])
        for library in threadpool_info()
    }
    return [dict(zip(("name", "version", "kernels", "threads"), library, strict=True)) for library in sorted(loaded)]


def torch_build() -> dict[str, Any] | None:
    """Torch's build, threads, instruction set, device and determinism flags; None where it is not loaded."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    return {
        "build": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if on_gpu else None,
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }


def imported_packages() -> Iterator[tuple[str, str]]:
    """Name and version of every installed distribution of which a module is loaded.

    ``importlib.metadata.packages_distributions`` knows it too, but reads every file list, which takes twenty times as
    long; here a list is read only where the distribution's name does not give the answer away.
    """
    folders: dict[Path, set[str]] = {}  # site-packages -> loaded top-level modules
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is not None and "." not in name and "site-packages" in file:
            place = Path(file).parent
            folders.setdefault(place.parent if Path(file).stem == "__init__" else place, set()).add(name)
    for folder, modules in folders.items():
        distributions = {info: info.stem.rpartition("-") for info in folder.glob("*.dist-info")}
        for info, (name, _, version) in distributions.items():
            if _normal(name) in map(_normal, modules) or _provides(info) & modules:
                yield _normal(name), version


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _provides(info: Path) -> set[str]:
    """The top-level modules that a distribution installs."""
    try:
        return set((info / "top_level.txt").read_text(encoding="utf-8").split())
    except OSError:
        paths = (line.partition(",")[0] for line in (info / "RECORD").read_text(encoding="utf-8").splitlines())
        return {path.partition("/")[0].removesuffix(".py") for path in paths}


def git_state(root: Path) -> dict[str, Any]:
    """The commit of the working tree, and whether it has uncommitted changes.

    Figures are left out: a run rewrites them. Untracked files are not seen; untracked code shows in its digest.

    Returns:
        ``commit`` (None outside a repository), ``dirty``, ``diff_sha256`` (of ``git diff HEAD``; None where clean).
    """

    def git(*arguments: str) -> bytes:
        command = ["git", "--no-optional-locks", *arguments]
        return subprocess.run(command, cwd=root, check=True, capture_output=True).stdout

    try:
        commit = git("rev-parse", "HEAD").decode().strip()
        difference = git("diff", "HEAD", "--", ".", ":!figures")
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None, "diff_sha256": None}
    digest = hashlib.sha256(difference).hexdigest() if difference else None
    return {"commit": commit, "dirty": bool(difference), "diff_sha256": digest}
