"""What runs are followed for. Here, and not in the declaration, so that to edit its words trains nothing anew."""

COHERENCE = "coherence"
MEMORISATION = "memorisation"
