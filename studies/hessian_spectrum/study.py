"""The spectrum of the Hessian of a whole network: what the data, the size and the batches do to it."""

from __future__ import annotations

from collections.abc import Sequence

from awduality.runs import Run, Settings
from awduality.study.contract import Paper, Setting, Step, Study

CLUSTERS, IMAGES = "clusters", "images"
ARMS = {
    CLUSTERS: "clusters",
    IMAGES: "images",
    "large": "full batch, rate 0.1",
    "fast": "full batch, rate 0.5",
    "small": "batches of 10, rate 0.1",
    "reordered": "the same, batches in another order",
    "other": "the same, from another start",
    "small_after": "batches of 10 from the full batch's end",
    "large_after": "full batch from the full batch's end",
    "copy": "the batches-of-10 solution, hidden units permuted",
}


def _canonical(settings: Settings) -> Settings:
    """Only clusters have a number of classes and a deviation of their own."""
    return settings if settings["arm"] == CLUSTERS else {**settings, "classes": 0, "deviation": 0.0}


def _group(run: Run, _experiments: Sequence[str]) -> str:
    """One job trains what stacks: all clusters, all images, all arms of the comparison of batches."""
    arm = str(run.settings["arm"])
    return {CLUSTERS: "classes", IMAGES: "width"}.get(arm, "batches")


STUDY = Study(
    paper=Paper(
        "Empirical analysis of the Hessian of over-parametrized neural networks",
        "Sagun, Evci, Güney, Dauphin & Bottou",
        2017,
        "1706.04454",
    ),
    about="Does training turn most curvature into none, and does the data decide the rest?",
    experiments={
        "classes": "clusters, and what their number and their overlap do to the spectrum",
        "width": "images, and what the size of the network does to the spectrum",
        "batches": "images, and what the size of the batch does to the sharpness and to the basin",
    },
    settings={
        "arm": Setting(str, "Arm", choices=ARMS, source="ours"),
        "width": Setting(int, "Units of each of two hidden layers", "w", least=2),
        "classes": Setting(int, "Clusters", "k", source="0: those of the images", least=0),
        "deviation": Setting(
            float, "Standard deviation of a cluster", source="centres lie in a cube of side 20; 0: images", least=0
        ),
    },
    shared={
        "samples": Setting(int, "Images to train on", "N", least=20),
        "cluster_samples": Setting(int, "Points of all clusters", source="ours", least=20),
        "cluster_steps": Setting(int, "Steps on clusters at most", source="ours", least=1),
        "max_steps": Setting(int, "Steps on images at most", source="ours", least=1),
        "target_loss": Setting(float, "Training loss at which networks of different width are compared", above=0),
        "levels": Setting(
            float, "Training losses at which batch sizes are compared", source="ours, descending", above=0, many=True
        ),
        "continued": Setting(int, "Steps from the full batch's end on", source="ours", least=1),
        "bending": Setting(int, "Steps that bend a path", source="ours", least=1),
    },
    inherits=("data",),
    cost={"quick": "20 seconds", "full": "6 minutes"},
    steps=(
        Step(
            "experiment",
            reads=(
                "samples",
                "cluster_samples",
                "cluster_steps",
                "max_steps",
                "target_loss",
                "levels",
                "continued",
                "bending",
            ),
            purposes=("init",),
            data=True,
        ),
        Step(
            "tables",
            after=("experiment",),
            each="study",
            tables=("runs", "states", "levels", "determinants", "spectra", "segments"),
        ),
    ),
    judged=("runs", "states", "levels"),
    canonical=_canonical,
    group=_group,
)
