"""The names of the arms, and the hyper-parameters along which measures are judged. Standard library only."""

MEASURES, STABILITY = "measures", "stability"
AXES = ("train_size", "width", "hidden_layers", "learning_rate", "batch_size")
