"""What runs: Bayes mixtures over functions of five bits, the mass of these, and Langevin chains beside descents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from awduality.duality.determinants import determinants
from awduality.layers import by_layer
from awduality.runs import Run
from awduality.streams import stream
from awduality.study.step import Job, Outcome, each_run
from studies.universality_lens import boolean, chains, evidence
from studies.universality_lens.boolean import Prior
from studies.universality_lens.study import FUNCTIONS, LATE, SGLD
from studies.universality_lens.teachers import KINDS, Teachers, minority, teachers

LAYER = "fc2"
PRIORS = ("network", "shuffled", "uniform")
LATE_LOSS = 0.01  # mean training loss, nats
_RADII = (0, 1, 2, 4)  # of balls whose bound is checked

COLUMNS = (
    *("support", "bound_excess"),
    *("target_loss", "mean_train_loss", "nll", "nll_single", "error"),
    *("gap", "train_loss", "test_loss", "estimate", "top_eigenvalue", "trace", "sharpness", "size"),
    *("top_eigenvalue_balanced", "trace_balanced", "sharpness_balanced", "size_balanced"),
)


def functions(job: Job) -> Iterator[Outcome]:
    """Regrets of one data stream per teacher, under three priors and for every width; and what the mass is made of."""
    asked = job.asked
    priors, outputs = {}, np.empty(0)
    for width in asked["widths"]:
        drawn = boolean.drawn_outputs(width, asked["draws"], stream(asked["root_seed"], f"{job.study}/prior", width))
        priors[width] = Prior.counted(drawn > 0)
        if width == asked["main_width"]:
            outputs = drawn
    for one in job.runs:
        main = asked["main_width"]
        known = teachers(priors[main], main, asked["teachers"], asked["least_count"], job.stream("teachers", one))
        numbers, arrays = of_streams(job, one, priors, known)
        arrays |= {f"volume/{name}": found for name, found in of_volume(job, one, outputs, known).items()}
        yield Outcome(one, numbers={"support": len(priors[main].codes), **numbers}, arrays=arrays)
        job.progress(1)


def of_streams(
    job: Job, one: Run, priors: dict[int, Prior], known: Teachers
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """The largest excess over a bound; regrets (W, 3, P, T), r_t (W, P, T), and w (W, P) of the truths."""
    asked, noise, truths = job.asked, job.asked["noise"], known.functions
    times, generator = np.array(asked["times"]), job.stream("data", one)
    seen = np.stack([_balance(truth, times, noise, generator) for truth in truths])  # (P, T, 32)
    excess: list[float] = [0.0]
    arrays: dict[str, list[np.ndarray]] = {"regret": [], "resolvability": [], "weight": []}
    for width, prior in priors.items():
        own = np.array([prior.orbit_weight(truth) for truth in truths.astype(int)])
        order = job.stream(f"shuffle{width}", one).permutation(len(prior.codes))
        mixtures = _mixtures(prior, order, own, truths, seen, noise)
        regret = np.stack([boolean.regrets(mixture, truths, seen, noise) for mixture in mixtures])
        for place, truth in enumerate(truths):
            bounds = boolean.ball_bounds(prior, float(own[place]), truth, _RADII, seen[place], noise)
            excess.append(float((regret[0, place] - bounds).max()))
            if own[place]:
                excess.append(float((regret[1, place] + np.log(own[place])).max()))
        excess.append(float((regret[2] - boolean.POINTS * np.log(2)).max()))
        mass = boolean.mass_by_distance(prior, own, truths)
        arrays["regret"].append(regret)
        arrays["resolvability"].append(boolean.resolvability(mass, times, noise))
        arrays["weight"].append(own)
    found = {name: np.stack(each) for name, each in arrays.items()}
    found |= {"minority": minority(truths), "kind": np.array([KINDS.index(kind) for kind in known.kinds])}
    return {"bound_excess": max(excess)}, found


def _mixtures(
    prior: Prior, order: np.ndarray, own: np.ndarray, truths: np.ndarray, seen: np.ndarray, noise: float
) -> list[np.ndarray]:
    """(P, T) mixtures by the network's prior, the same with its weights in another order, and the uniform prior.

    In the first two every truth has its ``own`` weight.
    """
    weights = np.stack([prior.weights, prior.weights[order]])
    found = boolean.mixtures(prior, weights, seen.reshape(-1, boolean.POINTS), noise).reshape(2, *seen.shape[:2])
    codes = boolean.codes_of(truths)
    places = np.minimum(np.searchsorted(prior.codes, codes), len(prior.codes) - 1)
    counted = np.where(prior.codes[places] == codes, weights[:, places], 0)  # (2, P)
    likelihoods = np.exp(-boolean.odds(noise) * np.matmul(seen, truths[..., None])[..., 0])
    found += (own - counted)[..., None] * likelihoods
    return [*found, boolean.uniform_mixture(seen, noise)]


def _balance(truth: np.ndarray, times: np.ndarray, noise: float, generator: np.random.Generator) -> np.ndarray:
    """(T, 32) ``balance`` of a stream of noisy samples of a function."""
    x = generator.integers(0, boolean.POINTS, times.max())
    flipped = generator.random(times.max()) < noise
    return boolean.balance(x, np.abs(truth[x] - flipped), times)


def of_volume(job: Job, one: Run, outputs: np.ndarray, known: Teachers) -> dict[str, np.ndarray]:
    """(P,) −log Z of the drawn teachers and their effective draws; (P, S) of every start the parts that Laplace has."""
    asked, truths = job.asked, known.functions[known.drawn]
    exact, effective = evidence.evidence(outputs, truths)
    stack = evidence.Stack(np.repeat(truths, asked["starts"], axis=0), asked["main_width"])
    starts = job.stream("starts", one).standard_normal((len(stack.signs), 7 * asked["main_width"] + 1))
    top = evidence.posterior_maxima(stack, starts, asked["ascent_steps"])
    low, reached = evidence.matched(stack, top, asked["matched_loss"], asked["ascent_steps"] * 2)
    reached &= stack.losses(top) > asked["matched_loss"] * boolean.POINTS  # else it begins below it
    each = {
        "fit": stack.losses(top),
        "size": 0.5 * (top**2).sum(axis=1),
        "sharpness": stack.sharpness(top),
        "learned": ((stack.hidden(top)[2] * stack.signs) > 0).all(axis=1),
        "size_matched": 0.5 * (low**2).sum(axis=1),
        "sharpness_matched": stack.sharpness(low),
        "loss_matched": stack.losses(low) / boolean.POINTS,
        "reached": reached,
    }
    found = {name: values.reshape(len(truths), -1).astype(float) for name, values in each.items()}
    return {**found, "neg_log_z": exact, "effective": effective}


def classifiers(job: Job) -> Iterator[Outcome]:
    """Chains of every temperature and seed as one stack; then, seed by seed, descents that stop at their losses."""
    asked = job.asked
    pairs = list(
        dict.fromkeys((one.settings["temperature"], one.seed) for one in job.runs if one.settings["method"] != LATE)
    )
    samples = dict(zip(pairs, _chains(job, pairs), strict=True)) if pairs else {}
    for seed in dict.fromkeys(one.seed for one in job.runs):
        runs = [one for one in job.runs if one.seed == seed]
        train = _examples(job, seed)
        networks = chains.Networks(_widths(job), train[0][None], train[1][None])
        targets = {one.id: _target(one, samples) for one in runs if one.settings["method"] != SGLD}
        generator = stream(asked["root_seed"], f"{job.study}/descents", seed)
        starts = generator.standard_normal((asked["members"], networks.size), dtype=np.float32)
        ends, losses = chains.descended(
            networks, starts, np.array(list(targets.values())), asked["descent_rate"], asked["descent_steps"]
        )
        for one in runs:
            if one.settings["method"] == SGLD:
                theta, found = samples[one.settings["temperature"], seed]
            else:
                place = list(targets).index(one.id)
                theta, found = ends[place], losses[place]
            yield _measured(job, one, networks, theta, found, _target(one, samples))
            job.progress(1)


def _target(one: Run, samples: dict[Any, Any]) -> float:
    late = one.settings["method"] == LATE
    return LATE_LOSS if late else float(samples[one.settings["temperature"], one.seed][1].mean())


def _widths(job: Job) -> Sequence[int]:
    return (job.split.features, *job.asked["hidden"], job.split.classes)


def _examples(job: Job, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Training examples of a seed, a sample of the pool of its own."""
    inputs, labels = job.split.train(len(job.split.pool_labels))
    generator = stream(job.asked["root_seed"], f"{job.study}/examples", seed)
    chosen = generator.permutation(len(labels))[: job.asked["train_size"]]
    return inputs[chosen], labels[chosen]


def _chains(job: Job, pairs: Sequence[tuple[float, int]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(members, M) samples of every chain and their (members,) training losses."""
    asked = job.asked
    examples = [_examples(job, seed) for _, seed in pairs]
    networks = chains.Networks(_widths(job), *(np.stack(part) for part in zip(*examples, strict=True)))
    generators = [stream(asked["root_seed"], f"{job.study}/chain", seed) for _, seed in pairs]
    temperatures = np.array([temperature for temperature, _ in pairs])
    found = list(
        chains.sampled(networks, generators, temperatures, asked["step_size"], asked["chain_steps"], asked["members"])
    )
    thetas, losses = (np.stack(part, axis=1) for part in zip(*found, strict=True))
    yield from zip(thetas, losses, strict=True)


def _measured(
    job: Job, one: Run, networks: chains.Networks, theta: np.ndarray, losses: np.ndarray, target: float
) -> Outcome:
    """The test loss of ensembles of every size, and the determinants of the last member."""
    if not np.isfinite(losses).all():
        return Outcome(one, "budget")
    inputs, labels = job.split.test
    logits = networks.logits(theta, inputs)
    curve = chains.by_members(logits, labels)
    numbers: dict[str, Any] = {"target_loss": target, "mean_train_loss": float(losses.mean())}
    numbers |= {"nll": curve[max(curve)], "nll_single": curve[1]}
    numbers["error"] = float((logits.argmax(axis=2) != labels).mean())
    last = by_layer([matrix[0] for matrix in networks.weights(theta[-1:].astype(float))])
    train = (networks.inputs[0].astype(float), networks.labels[0])
    numbers |= determinants(last, LAYER, train, (inputs.astype(float), labels))
    arrays = {"members": np.array(list(curve)), "nll": np.array(list(curve.values()))}
    return Outcome(one, numbers=numbers, arrays=arrays)


def run(job: Job) -> Iterator[Outcome]:
    """A row per run, and the arrays behind the tables."""
    is_function = job.runs[0].settings["method"] == FUNCTIONS
    yield from functions(job) if is_function else classifiers(job)


if __name__ == "__main__":
    each_run(run, COLUMNS)
