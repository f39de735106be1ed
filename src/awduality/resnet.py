"""ResNet-18 for small images, as is common for CIFAR-10: torchvision's, with another stem."""

from __future__ import annotations

from torch import nn

from awduality.data.torchvision_import import torchvision_models


def resnet18(classes: int = 10) -> nn.Module:
    """Torchvision's ResNet-18 for 32×32 images in colour, untrained, in eval mode.

    Its stem is a 3×3 convolution of stride one instead of a 7×7 one of stride two, without the pooling behind it, as
    is usual for images of this size. Its only fully connected layer, of 512 inputs, is called ``fc``.

    Args:
        classes: the number of outputs.
    """
    model: nn.Module = torchvision_models().resnet18(num_classes=classes)
    model.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model.eval()
