"""A template: copy this folder to studies/<name>, call things by their names, and replace the science.

It works as it is, under the name ``mine``: SGD's stationary state in a quadratic loss, as a process of Langevin.
"""

from __future__ import annotations

from awduality.study.contract import Paper, Setting, Step, Study

STUDY = Study(
    paper=Paper(
        "The inverse variance–flatness relation in stochastic gradient descent is critical for finding flat minima",
        "Feng & Tu",
        2021,
        "10.1073/pnas.2015617118",
    ),
    about="Does the variance of SGD grow with curvature?",
    settings={  # what runs differ in
        "noise": Setting(
            str,
            "Noise",
            choices={"isotropic": "isotropic", "hessian": "as the Hessian", "squared": "as its square"},
        ),
        "learning_rate": Setting(float, "Learning rate", r"\alpha", above=0),
        "batch_size": Setting(int, "Batch size", "B", least=1),
    },
    shared={  # what all runs of a config share
        "directions": Setting(int, "Directions", "D", "of the quadratic loss", least=2),
        "decades": Setting(float, "Decades", source="that the curvatures span", above=0),
        "steps": Setting(int, "Steps", "T", least=100),
    },
    steps=(
        Step("experiment", reads=("directions", "decades", "steps"), purposes=("noise",)),
        Step("tables", after=("experiment",), each="study", tables=("runs", "spectrum")),
    ),
)
