"""Fresh processes in which everything is timed: one with the whole machine, or one per core at the same time.

A process starts with the number of threads that it is to use, for NumPy's matrix library before NumPy is imported. No
process imports an implementation that it does not time, since some change settings of the whole process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from typing import Any

PATIENCE = 600.0  # seconds that a process waits for the others before it gives up
_UNSET = {"MKL_CBWR": None}  # set by awduality.training, if the parent has imported it; the references do without

_barrier: Barrier | None = None


def meet() -> None:
    """Wait until the other processes have come as far."""
    if _barrier is not None:
        _barrier.wait(PATIENCE)


def alone(task: Callable[..., Any], *arguments: Any) -> Any:
    """What ``task`` returns in a process of its own, with as many threads as the libraries choose."""
    with _environment(_UNSET), ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(task, *arguments).result()


def one_thread(task: Callable[..., Any], *arguments: Any) -> Any:
    """What ``task`` returns in a process of its own, with one thread."""
    return at_once(task, [arguments])[0]


def at_once(task: Callable[..., Any], arguments: list[tuple]) -> list[Any]:
    """What ``task`` returns in one process per tuple of arguments, all at the same time, each with one thread."""
    context = get_context("spawn")
    barrier = context.Barrier(len(arguments))
    with (
        _environment({**_UNSET, "OPENBLAS_NUM_THREADS": "1"}),
        ProcessPoolExecutor(len(arguments), context, _start, (barrier,)) as pool,
    ):
        futures = [pool.submit(_whole, task, *each) for each in arguments]
        return [future.result() for future in futures]


def _start(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier
    import torch

    torch.set_num_threads(1)


def _whole(task: Callable[..., Any], *arguments: Any) -> Any:
    """Do a task; one that fails does not leave the others waiting."""
    meet()
    try:
        return task(*arguments)
    except BaseException:
        assert _barrier is not None
        _barrier.abort()
        raise


@contextmanager
def _environment(values: Mapping[str, str | None]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
