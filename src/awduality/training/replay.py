"""Many small calls as one: what it takes to train small networks fast on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Call = Callable[[], object]


def replayed(calls: Sequence[Call], changed: Sequence[Tensor]) -> Call:
    """Many calls as one, to be made many times: on a GPU captured as a CUDA graph, elsewhere one after the other.

    Args:
        calls: they read and write tensors that stay where they are; to be kept for as long as the result is used.
        changed: the tensors whose values matter; capturing leaves them as they were.
    """
    if not changed[0].is_cuda:

        def all_calls() -> None:
            for call in calls:
                call()

        return all_calls
    before = [tensor.clone() for tensor in changed]
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):  # libraries set themselves up at their first calls, which cannot be captured
        for _ in range(3):
            for call in calls:
                call()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # NCCL has a thread of its own that asks the card
        for call in calls:
            call()
    for tensor, value in zip(changed, before, strict=True):
        tensor.copy_(value)
    return graph.replay
