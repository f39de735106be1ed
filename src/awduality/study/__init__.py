"""The frame that every study stands in: what it declares, what follows from that, how its steps run."""
