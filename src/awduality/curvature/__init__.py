"""The Hessian of the training loss with respect to one layer's weights, and its spectrum."""
