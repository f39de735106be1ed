"""The authors' default setting of every factor; tests change what they need smaller."""

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
