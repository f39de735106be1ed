"""Choose the part of a dataset that a config uses, and describe it on a data card."""

from __future__ import annotations

import argparse
import json
import logging
import os
from pathlib import Path

from awduality.commandline import parse, recorded, run
from awduality.data.parts import of_training
from awduality.data.sources import SOURCES, load
from awduality.data.splits import check_classes, data_card, split_arrays
from awduality.files import write_arrays, write_json


@recorded
def main(argv: list[str] | None = None) -> None:
    """Write the split and its card. The data root is read from AWDUALITY_DATA: it does not change results."""
    parser = argparse.ArgumentParser(prog="scripts/prepare_data.py", description=__doc__)
    parser.add_argument("--source", required=True, help=f"one of {', '.join(SOURCES)}")
    parser.add_argument("--folder", help="for image_folder: a folder or .tar file in the data root")
    parser.add_argument("--standardised", action="store_const", const=True, help="inputs of mean 0 and deviation 1")
    parser.add_argument("--subset-per-seed", action="store_const", const=True, help="every seed has its own samples")
    parser.add_argument("--permutation-seed", required=True, type=int)
    parser.add_argument("--pool", required=True, type=json.loads, metavar="JSON", help='{"start": 0, "count": 1297}')
    parser.add_argument("--test", required=True, type=json.loads, metavar="JSON", help='{"start": 0, "count": 500}')
    parser.add_argument("--smallest-train-size", required=True, type=int, help="of all runs; needs every class")
    parser.add_argument("--split-out", required=True, type=Path, help="pixels, labels and indices (safetensors)")
    parser.add_argument("--card-out", required=True, type=Path, help="source, licence, digests and counts (JSON)")
    arguments = parse(parser, argv)
    dataset = load(arguments.source, Path(os.environ.get("AWDUALITY_DATA", "data")), arguments.folder)
    parts = arguments.permutation_seed, arguments.pool, arguments.test
    arrays = split_arrays(dataset, *parts, bool(arguments.standardised), bool(arguments.subset_per_seed))
    check_classes(arrays, arguments.smallest_train_size)
    write_arrays(arguments.split_out, arrays)
    card = data_card(dataset, arguments.source, arguments.permutation_seed, arrays, of_training(arguments.test))
    write_json(arguments.card_out, card)
    logging.info(
        "%s: %d samples to train on, %d to test", dataset.title, len(arrays["pool_labels"]), len(arrays["test_labels"])
    )


if __name__ == "__main__":
    run(main)
