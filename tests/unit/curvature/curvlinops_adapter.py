"""The one place that knows curvlinops, an independent library of curvature operators, used as an oracle."""

from curvlinops import HessianLinearOperator


def hessian_operator(model, layer, batches, mean_loss):
    """The Hessian of the mean loss with respect to one layer's weights, as products with vectors."""
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return HessianLinearOperator(model, mean_loss, [model.get_parameter(f"{layer}.weight")], batches)


def network_operator(model, batches, mean_loss):
    """The same with respect to all parameters, in their order."""
    return HessianLinearOperator(model, mean_loss, [part.requires_grad_(True) for part in model.parameters()], batches)
