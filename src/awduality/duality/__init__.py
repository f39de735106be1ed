"""The activity–weight duality: pairs of samples, dual weights, and the decomposition of the generalization gap."""
