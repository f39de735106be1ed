"""What several tests name: the authors' default setting of every factor, and the configs that there are."""

from pathlib import Path

SHIPPED = sorted(path.stem for path in (Path(__file__).parents[1] / "config").glob("*.yaml") if "claims" not in path.stem)
"""The files of all configs; ``config`` is the default, which the others are laid over."""

COMMITTED = ("digits", "mnist", "mnist-confirm", "digits-layers", "digits-deep", "cifar10-jpeg", "cifar10-jpeg-cnn")
COMMITTED += ("digits-learners", "mnist-learners", "cifar10-jpeg-learners")
"""The configs whose figures are committed, by name: that of the default is digits."""

AUTHORS: dict[str, int | float] = {
    "batch_size": 25,
    "learning_rate": 0.1,
    "weight_decay": 0.0,
    "l2": 0.0,
    "init_scale": 1.0,
    "dropout": 0.0,
    "label_noise": 0.0,
    "train_size": 4000,
    "width": 30,
}
