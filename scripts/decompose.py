"""Decompose the generalization gap of a network of your own over layers and directions: a table, arrays, figures."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from awduality.checkpoints import build_model, load_weights, read_samples
from awduality.commandline import parse, recorded, run
from awduality.duality.layers import decompose_layers
from awduality.figures.decomposition import plot_decomposition
from awduality.figures.style import apply_style, savefig
from awduality.files import write_arrays, write_table
from awduality.instrument import LAYER_COLUMNS, all_arrays, chosen_loss, layer_row, lines


@recorded
def main(argv: list[str] | None = None) -> None:
    """Write ``decomposition.csv``, and per layer ``<layer>.safetensors``, ``.svg`` and ``.png``; print a summary."""
    parser = argparse.ArgumentParser(prog=os.path.relpath(__file__), description=__doc__)
    parser.add_argument(
        "--model", required=True, help="package.module:name of a function or class that builds the network"
    )
    parser.add_argument(
        "--checkpoint",
        required=True,
        type=Path,
        help="its weights: .safetensors, or of torch.save (.pt, .pth, .ckpt, .bin, .pth.tar)",
    )
    parser.add_argument(
        "--layer", required=True, action="append", help="name of a linear layer, repeated for more, or all"
    )
    parser.add_argument(
        "--data",
        required=True,
        type=Path,
        help="train_inputs, train_targets, test_inputs, test_targets, and train_pairs, test_pairs if you choose the "
        "pairs: .npz or .safetensors",
    )
    parser.add_argument("--loss", default="cross_entropy", help="cross_entropy by default; cross_entropy or mse")
    parser.add_argument("--label-smoothing", default=0.0, type=float, help="of the cross-entropy; 0 by default")
    parser.add_argument("--loss-unit", help="for the figures; nats by default for the cross-entropy")
    parser.add_argument("--top", type=int, help="only so many directions of largest eigenvalue: for large layers")
    parser.add_argument("--sharp-directions", default=10, type=int, help="directions of the sharp part; 10 by default")
    parser.add_argument("--out", required=True, type=Path, help="the folder to write to")
    arguments = parse(parser, argv)
    loss = chosen_loss(arguments.loss, arguments.label_smoothing)
    unit = arguments.loss_unit
    if unit is None:
        unit = "nats" if arguments.loss == "cross_entropy" else ""
    sys.path.insert(0, str(Path.cwd()))
    model = build_model(arguments.model)
    load_weights(model, arguments.checkpoint)
    logging.info("%s is analysed in eval mode", arguments.model)
    samples, layers = read_samples(arguments.data), None if arguments.layer == ["all"] else arguments.layer
    results = decompose_layers(model, samples.train, samples.test, layers, loss, samples.pairs, arguments.top)
    rows = []
    apply_style()
    for layer, result in results.items():
        rows.append(layer_row(model, result, arguments.sharp_directions))
        name = layer or "network"  # one that is a single layer has no name for it
        write_arrays(arguments.out / f"{name}.safetensors", all_arrays(result), {"layer": layer})
        figure = plot_decomposition(result, sharp_directions=arguments.sharp_directions, loss_unit=unit)
        savefig(figure, [arguments.out / f"{name}.svg", arguments.out / f"{name}.png"])
    write_table(arguments.out / "decomposition.csv", rows, LAYER_COLUMNS)
    sys.stdout.write(lines(rows, unit))


if __name__ == "__main__":
    run(main)
