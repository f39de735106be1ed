"""Training of networks with convolutions: one run after the other, by autograd.

On a CPU a stack of convolutions gains nothing over single ones (docs/performance.md), so this is the plain loop that
anyone would write, with the same random streams, schemes and stopping rule as the stacks of fully connected networks.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from awduality.data.splits import Split
from awduality.losses import mse
from awduality.networks import network
from awduality.runs import Run
from awduality.training import schemes
from awduality.training.checks import Checks, Front
from awduality.training.run import History, Solution, StopReason, Training, training_labels

_LAYOUT = torch.channels_last  # of images; convolutions hand it on, and are about 12% faster on a CPU
_EVALUATION_CHUNK = 500  # samples; keeps the activations in cache


def train_convolutional(
    run: Run, split: Split, training: Training, device: torch.device, report: Callable[[int, str], None]
) -> Solution:
    """Train one run to its target loss, within its budget of steps; see ``awduality.training.loop.train``."""
    settings, batch = run.settings, int(run.settings["batch_size"])
    clean = int(settings["train_size"])
    labels = torch.from_numpy(training_labels(settings, run.seed, split, training.root_seed)).to(device)
    test_labels = torch.from_numpy(split.test_labels).to(device)
    whole = _initial(run, split, training).to(device)
    model = whole[1:]  # behind the images, which are made once
    inputs, test_inputs = (
        whole[0](torch.from_numpy(array).to(device)).contiguous(memory_format=_LAYOUT)
        for array in (split.train(len(labels))[0], split.test_inputs)
    )
    orders = schemes.batch_order(len(inputs), training.root_seed, run.seed)
    uniforms = schemes.dropout_uniforms(len(inputs), training.hidden_width(settings), training.root_seed, run.seed)
    rate, kind = float(settings["dropout"]), training.loss
    checks, front = Checks(training, -(-len(inputs) // batch)), Front(training.target_loss, clean)
    history = History()
    reason: StopReason | None = None
    loss = float("nan")  # as long as nobody has looked
    epoch = steps = 0
    while reason is None:
        epoch += 1
        order = torch.from_numpy(next(orders)).to(device)
        drawn = torch.from_numpy(next(uniforms)).to(device).split(batch) if rate else None
        for place, index in enumerate(order.split(batch)):
            mask = None if drawn is None else schemes.dropout_mask(drawn[place], torch.tensor(rate, device=device))
            _step(model, inputs[index], labels[index], mask, run, epoch <= training.weight_decay_epochs, kind)
            steps += 1
            if not checks.due(steps):
                continue
            writes = checks.writes(steps)
            if not writes:
                hardest, _, _ = _evaluate(model, *front.of(inputs, labels), kind)
                if front.excludes(torch.tensor([hardest])):
                    continue
            loss, accuracy, losses = _evaluate(model, inputs[:clean], labels[:clean], kind)
            front.renew(losses[None])
            past = [] if training.check_every else history.accuracies
            reason = training.stop_reason(loss, [*past, accuracy], steps)
            if writes or reason:
                history.add(steps, [loss, accuracy, *_evaluate(model, test_inputs, test_labels, kind)[:2]])
            if reason:
                break
        report(int(reason is not None), f"run {run.id}: epoch {epoch}, training loss {loss:.3g}")
    weights = [parameter.detach().cpu().numpy().copy() for parameter in model.parameters()]
    return Solution(run, reason, epoch, steps, weights, history.columns)


def _initial(run: Run, split: Split, training: Training) -> nn.Sequential:
    shapes = training.shapes(run.settings, split)
    model = network(shapes)
    drawn = schemes.initial_weights(shapes.values(), run.settings["init_scale"], training.root_seed, run.seed)
    model.load_state_dict({f"{name}.weight": torch.from_numpy(w) for name, w in zip(shapes, drawn, strict=True)})
    return model


def _step(
    model: nn.Module, inputs: Tensor, labels: Tensor, mask: Tensor | None, run: Run, decaying: bool, kind: str
) -> None:
    """One step of SGD: the decays shrink the weights that the gradient was taken at."""
    activity = inputs
    for name, layer in model.named_children():
        activity = layer(activity)
        if mask is not None and name == "relu1":
            activity = activity * mask
    weights = list(model.parameters())
    gradients = torch.autograd.grad(_loss(activity, labels, kind, "mean"), weights)
    learning_rate, decay = run.settings["learning_rate"], run.settings["weight_decay"]
    with torch.no_grad():
        penalty = float(run.settings["l2"])
        if decaying and decay:
            penalty += float(decay / torch.stack([torch.linalg.vector_norm(w).square() for w in weights]).sum().sqrt())
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.mul_(1 - learning_rate * penalty).sub_(gradient, alpha=learning_rate)


@torch.no_grad()
def _evaluate(model: nn.Module, inputs: Tensor, labels: Tensor, kind: str) -> tuple[float, float, Tensor]:
    """Mean loss, accuracy and the loss of every sample (N,), without dropout."""
    loss, right, losses = 0.0, 0, []
    for x, y in zip(inputs.split(_EVALUATION_CHUNK), labels.split(_EVALUATION_CHUNK), strict=True):
        logits = model(x).double()
        losses.append(_loss(logits, y, kind, "none"))
        loss += float(_loss(logits, y, kind, "sum"))
        right += int((logits.argmax(1) == y).sum())
    return loss / len(labels), right / len(labels), torch.cat(losses)


def _loss(logits: Tensor, labels: Tensor, kind: str, reduction: str) -> Tensor:
    if kind == "cross_entropy":
        return cross_entropy(logits, labels, reduction=reduction)
    losses = mse(logits, labels)
    return losses if reduction == "none" else losses.sum() if reduction == "sum" else losses.mean()
