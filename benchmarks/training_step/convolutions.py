"""The convolutions of a CIFAR residual network."""

from typing import NamedTuple


class Convolution(NamedTuple):
    """A 3x3 convolution of square images, and how often a network has it."""

    size: int
    inputs: int
    outputs: int
    stride: int
    times: int


def convolutions(depth: int, width: int, image_size: int = 32) -> list[Convolution]:
    """Those of one forward pass, the stem first.

    >>> sum(conv.times for conv in convolutions(20, 16))
    19
    """
    blocks = (depth - 2) // 6
    found = [Convolution(image_size, 3, width, 1, 1)]
    for stage in range(3):
        size, channels = image_size // 2**stage, width * 2**stage
        if stage:
            found.append(Convolution(2 * size, channels // 2, channels, 2, 1))
        found.append(Convolution(size, channels, channels, 1, 2 * blocks - (stage > 0)))
    return found
