"""Processes that work together, one per learner: what they send each other, and how it ends if one of them dies.

The processes are started by ``torchrun`` and talk through ``torch.distributed``: over gloo on CPUs, over NCCL where
every process has a GPU of its own. Whoever waits for another waits for a limited time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from awduality.device import choose_device
from awduality.errors import InputError
from awduality.training.mixing import Exchange, weighted_sum

TIMEOUT = 600.0
"""Seconds that a process waits for the others, by default: far more than one computes between two exchanges."""


@dataclass(frozen=True)
class Group:
    """The processes of a run, as one of them sees it. Every process makes the same calls in the same order.

    Whatever waits raises an ``InputError`` when another process has ended or does not answer in time; on GPUs, where
    NCCL's own thread watches over that, it ends the process.
    """

    rank: int  # of this process: the number of its learner
    size: int  # n
    device: torch.device
    timeout: float  # seconds

    def from_first(self, row: Tensor) -> None:
        """Overwrite a row with that of process 0."""
        with self._patience():
            dist.broadcast(row, 0)

    def mean(self, row: Tensor) -> Tensor:
        """The mean of the rows of all processes, the same to the bit in each."""
        return self.averaging(row)()

    def averaging(self, row: Tensor) -> Callable[[], Tensor]:
        """Begin to average the rows of all processes as they now are; the call that is returned gives their mean."""
        total = row.clone()
        if self.size == 1:
            return lambda: total
        with self._patience():
            work = dist.all_reduce(total, async_op=True)

        def averaged() -> Tensor:
            with self._patience():
                work.wait()
            return total / self.size

        return averaged

    def exchanging(self, row: Tensor, exchange: Exchange) -> Callable[[], Tensor]:
        """Begin to send a row to those who take it and to receive theirs; the call that is returned adds them up.

        Args:
            row: (P,); it must stay as it is until that call is made.
            exchange: the same in all processes.
        """
        taken = exchange.sources_of(self.rank)
        others = sorted({source for source, _ in taken} - {self.rank})
        rows = {self.rank: row, **{source: torch.empty_like(row) for source in others}}
        transfers = [dist.P2POp(dist.irecv, rows[source], source) for source in others]
        transfers += [dist.P2POp(dist.isend, row, taker) for taker in exchange.takers_of(self.rank)]
        with self._patience():
            works = dist.batch_isend_irecv(transfers) if transfers else []

        def added() -> Tensor:
            with self._patience():
                for work in works:
                    work.wait()
            return weighted_sum([rows[source] for source, _ in taken], [weight for _, weight in taken])

        return added

    def gathered(self, row: Tensor) -> list[Tensor]:
        """In process 0 the rows of all, in the host's memory; in the others nothing."""
        with self._patience():
            if self.rank:
                dist.send(row, 0)
                return []
            rows = [row.cpu()]
            for source in range(1, self.size):
                other = torch.empty_like(row)
                dist.recv(other, source)
                rows.append(other.cpu())
            return rows

    def meet(self) -> None:
        """Wait until all processes have come as far."""
        with self._patience():
            dist.barrier()

    @contextmanager
    def _patience(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise InputError(
                f"learner {self.rank} of {self.size} waited for another that has ended, or has not answered for "
                f"{self.timeout:g} seconds: what ended it stands above, if it could still say so (a process without a "
                "message was killed, often for want of memory); give slow machines more time. Nothing was written; "
                f"start all again. Got: {str(error).splitlines()[0]}"
            ) from error


@contextmanager
def joined(learners: int, timeout: float = TIMEOUT) -> Iterator[Group]:
    """Join the processes that ``torchrun`` has started, one per learner, for the time of a ``with`` block.

    Args:
        learners: n, as the settings say.
        timeout: seconds that a process waits for another before it gives up.

    Raises:
        InputError: not started by ``torchrun``, by another number of processes than learners, or more processes on a
            machine than it has GPUs although GPUs are asked for.
    """
    if "RANK" not in os.environ:
        raise InputError(
            "every learner is a process of its own: start them together, by "
            f"`torchrun --standalone --nproc-per-node {learners}` and the name of the script instead of `python`"
        )
    if not timeout > 0:
        raise InputError(f"processes wait for each other for a time greater than zero: got {timeout:g} seconds")
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if size != learners:
        raise InputError(
            f"the settings have {learners} learners, but torchrun has started {size} processes: give it "
            f"--nproc-per-node {learners} (on several machines: --nnodes times --nproc-per-node), or change `learners`"
        )
    group = Group(rank, size, _device(), timeout)
    with group._patience():
        dist.init_process_group("nccl" if group.device.type == "cuda" else "gloo", timeout=timedelta(seconds=timeout))
    try:
        yield group
    finally:
        dist.destroy_process_group()


def _device() -> torch.device:
    """A GPU for each process of this machine, or the CPU for all."""
    place, here, cards = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    device = choose_device("cuda" if here <= cards else "cpu")
    if device.type == "cpu":
        return device
    if here > cards:
        raise InputError(
            f"AWDUALITY_DEVICE is cuda, but {here} processes would share {cards} GPUs: start at most {cards} on this "
            "machine, or unset AWDUALITY_DEVICE to use its CPUs"
        )
    device = torch.device("cuda", place)
    torch.cuda.set_device(device)
    return device
