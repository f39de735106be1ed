"""What runs: networks whose gradients are followed, and networks that memorise wrong labels, or are kept from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from awduality.duality.determinants import MEASURES, determinants
from awduality.layers import by_layer
from awduality.runs import Run
from awduality.study.step import Job, Outcome, each_run
from studies.gradient_coherence.coherence import LATE, at_loss
from studies.gradient_coherence.following import Followed, follow, permuted_labels
from studies.gradient_coherence.methods import MINIBATCHES
from studies.gradient_coherence.tasks import COHERENCE

ENDS = ("accuracy", "clean_accuracy", "corrupted_accuracy", "test_accuracy", "loss", "clean_loss")
AT = "coherence_at_"  # and the loss
_ALONG = ("peak", "null_peak", "mean_coherence", "pristine_share", "pristine_lead", "least_pristine_part")
EQUAL = ("corrupted_accuracy", "test_accuracy")  # also after equally many gradients
NUMBERS = ("steps_done", *ENDS, *_ALONG, *(f"{name}_equal" for name in EQUAL), "layer")
AVERAGED = 100  # steps


def stacks(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that are trained at once: those that differ in their seed and their labels alone."""
    found: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        key = tuple(value for name, value in run.settings.items() if name != "permuted")
        found.setdefault(key, []).append(run)
    return list(found.values())


def coherence_numbers(
    course: Mapping[str, np.ndarray], losses: Sequence[float], epoch: int, share: float
) -> dict[str, float]:
    """What a run of the task coherence comes to.

    Args:
        course: name → one number per record.
        losses: training losses at which the coherence is wanted.
        epoch: steps of the first epoch.
        share: of the examples, those with right labels.
    """
    step, coherence, late = course["step"], course["coherence"], course["step"] > LATE
    found = {f"{AT}{loss:g}": at_loss(course["loss"], coherence, loss) for loss in losses}
    if late.any():
        found |= {"peak": coherence[late].max(), "null_peak": course["sign_null"][late].max()}
    found["pristine_lead"] = course["pristine_part"][step < epoch].mean() - share
    found["least_pristine_part"] = course["pristine_part"].min()
    found["mean_coherence"] = float(np.trapezoid(coherence, step) / max(step[-1], 1))
    return found


def ending(course: Mapping[str, np.ndarray], method: str) -> dict[str, float]:
    """Accuracies and losses at the end, or at the step of best validation accuracy where a run is stopped early.

    Where nothing but accuracies is followed, the end is the mean over the last hundred steps, since at a constant rate
    single steps differ. A method that reads three minibatches per update is also shown after a third of its updates,
    when it has computed as many gradients as the others at their end.
    """
    last = int(course["step"][-1])
    if "validation_accuracy" not in course:
        return {"steps_done": last, **{name: course[name][-1] for name in ENDS}}
    if method == "early":
        best = int(np.argmax(course["validation_accuracy"]))
        found = {"steps_done": course["step"][best], **{name: course[name][best] for name in ENDS}}
        return found | {f"{name}_equal": found[name] for name in EQUAL}
    equal = last // MINIBATCHES.get(method, 1)
    found = {"steps_done": last, **{name: before(course, name, last) for name in ENDS}}
    return found | {f"{name}_equal": before(course, name, equal) for name in EQUAL}


def before(course: Mapping[str, np.ndarray], name: str, stop: int) -> float:
    """The mean of a number over the hundred steps up to ``stop``."""
    step = course["step"]
    return float(course[name][(step > stop - AVERAGED) & (step <= stop)].mean())


def numbers(job: Job, run: Run, followed: Followed) -> dict[str, Any]:
    """The row of one run; what does not apply to it is empty."""
    settings, course = run.settings, followed.arrays()
    _, true = job.split.train(settings["train_size"])
    labels = permuted_labels(true, settings["permuted"], job.stream("labels", run))
    found: dict[str, Any] = ending(course, settings["method"])
    found["pristine_share"] = (labels == true).mean()
    if settings["task"] == COHERENCE:
        epoch = settings["train_size"] // settings["batch_size"]
        found |= coherence_numbers(course, job.asked["matched_losses"], epoch, found["pristine_share"])
    elif followed.at_target is not None and settings["method"] != "early":
        inputs, _ = job.split.train(settings["train_size"])
        clean = labels == true
        layer = job.asked["layers"][0]
        weights = by_layer(followed.at_target)
        found |= {"layer": layer, **determinants(weights, layer, (inputs[clean], true[clean]), job.split.test)}
    columns = [*NUMBERS, *(f"{AT}{loss:g}" for loss in job.asked["matched_losses"]), *MEASURES]
    return {name: "" if _missing(found.get(name, "")) else found[name] for name in columns}


def _missing(value: Any) -> bool:
    return value == "" or (not isinstance(value, str) and not np.isfinite(value))


def run(job: Job) -> Iterator[Outcome]:
    """A row per run; arrays: its course, a number per record."""
    for stack in stacks(job.runs):
        for one, followed in zip(stack, follow(job, stack), strict=True):
            yield Outcome(one, followed.ended, numbers(job, one, followed), followed.arrays())
            job.progress(1)


if __name__ == "__main__":
    each_run(run)
