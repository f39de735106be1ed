"""What runs: kernels of wide generators, and clouds, of particles or of a generator, against a discriminator."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from awduality.runs import Run
from awduality.study.step import Job, Outcome, each_run
from studies.gan_dynamics import kernel, ring
from studies.gan_dynamics.dynamics import Generator, Particles, discriminator, train

COLUMNS = (
    *("ratio", "spread", "expected"),  # of kernel: g₂/g₁, spread of Γ_ij over g₁, g₂/g₁ at u = 0 and infinite width
    *("coverage", "size", "centre", "late_error"),  # means over the last quarter
    *("error", "travelled", "steps"),  # mean over the run; path of a particle between looks; steps made
)

_OUTPUTS = 2  # of a generator: the plane
_START = 2**-0.5  # standard deviation of particles at the start, that of a ReLU generator's outputs


def of_kernel(job: Job, run: Run) -> Outcome:
    """Couplings of the outputs of one fresh generator, for latents that are drawn independently."""
    activation, dimension = run.settings["activation"], run.settings["dimension"]
    generator, width = job.stream("start", run), job.asked["kernel_width"]
    z = kernel.latents(job.asked["kernel_latents"], dimension, 0.0, generator)
    a, v = generator.standard_normal((width, dimension)), generator.standard_normal((_OUTPUTS, width))
    ratio, spread = kernel.couplings(kernel.of_network(a, v, z, activation))
    expected = kernel.by_quadrature(activation, 0.0) / kernel.by_quadrature(activation, 1.0)
    return Outcome(run, numbers={"ratio": ratio, "spread": spread, "expected": expected})


def fresh(job: Job, run: Run) -> Particles | Generator:
    """The cloud at its start; runs of a seed share it as far as their settings let them."""
    settings, count, generator = run.settings, job.asked["particles"], job.stream("start", run)
    if settings["model"] == "particles":
        q = _START * generator.standard_normal((count, _OUTPUTS))
        return Particles(q, settings["coupling"], settings["rule"] == "centre")
    z = kernel.latents(count, settings["dimension"], kernel.cosine_of(settings["coupling"]), generator)
    a = generator.standard_normal((settings["width"], settings["dimension"]))
    made = Generator(a, generator.standard_normal((_OUTPUTS, settings["width"])), z)
    return made if settings["model"] == "generator" else Particles(made.q, settings["coupling"])


def of_cloud(job: Job, run: Run) -> Outcome:
    """How a cloud ended, and how far it was from the data on the way."""
    asked, settings = job.asked, run.settings
    pace = max(1, settings["pace"])
    steps, every = asked["steps"] * pace, asked["look_every"] * pace
    distance = ring.energy_distance(ring.points(asked["reference"], job.stream("reference", run)))
    data = job.stream("data", run)
    seen: list[np.ndarray] = []

    def look(step: int, q: np.ndarray) -> bool:
        if step % every == 0:
            seen.append(q.copy())
        return bool((np.abs(q) <= ring.FAR).all())

    done = train(
        fresh(job, run),
        discriminator(asked["units"], settings["activation"] == "tanh", job.stream("discriminator", run)),
        lambda: ring.points(asked["batch_size"], data),
        (settings["rate_g"] / pace, settings["rate_d"] / pace),
        settings["penalty"],
        steps,
        look,
    )
    arrays = {"cloud": seen[-1]}
    if not done:
        return Outcome(run, "diverged", {"steps": every * (len(seen) - 1)}, arrays)
    errors = np.array([distance(q) for q in seen])
    late = seen[-(len(seen) // 4) :]
    numbers = {
        "coverage": float(np.mean([ring.coverage(q) for q in late])),
        "size": float(np.mean([ring.cloud_size(q) for q in late])),
        "centre": float(np.mean([np.linalg.norm(q.mean(0)) for q in late])),
        "late_error": float(errors[-len(late) :].mean()),
        "error": float(errors.mean()),
        "travelled": float(np.linalg.norm(np.diff(seen, axis=0), axis=2).sum(0).mean()),
        "steps": steps,
    }
    return Outcome(run, numbers=numbers, arrays={**arrays, "course": np.stack([every * np.arange(len(seen)), errors])})


def run(job: Job) -> Iterator[Outcome]:
    """A row per run; of clouds the last one, and the error over the steps."""
    for one in job.runs:
        yield of_kernel(job, one) if one.settings["model"] == "kernel" else of_cloud(job, one)
        job.progress(1)


if __name__ == "__main__":
    each_run(run, COLUMNS)
