"""Random-looking numbers that Python and C++ (tests/support/formula.h) compute alike, to the last bit: a network's weights
need not be stored beside what it computes with them."""
import math

import numpy as np

MASK = (1 << 64) - 1


def hash_of(name):
    """FNV-1a."""
    result = 0xCBF29CE484222325
    for byte in name.encode():
        result = (result ^ byte) * 0x100000001B3 & MASK
    return result


def words(name, count):
    """splitmix64 of hash + 0, 1, 2, ..."""
    with np.errstate(over="ignore"):
        x = np.uint64(hash_of(name)) + np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def uniform(name, shape):
    """In [0, 1), multiples of 2^-24, in double."""
    return ((words(name, int(np.prod(shape))) >> np.uint64(40)).astype(np.float64) * 2.0**-24).reshape(shape)


def weight(name, shape):
    """A weight of a network in PyTorch's layout: of a size that neither shrinks nor grows through the layers."""
    u = uniform(name, shape)
    if name.endswith("running_var"):
        value = 0.5 + u
    elif name.endswith("edge_weights"):
        # Of three some are negative, which relu must stop. Of two none are: the other would get all of the weight, and its
        # gradient would then be a difference of equal numbers, that is, rounding.
        value = np.where(np.arange(len(u)) < 2, 0.2 + 1.3 * u, 1.6 * u - 0.8)
    elif len(shape) >= 2:
        value = (0.1 if ".predict." in name else 1.4) * math.sqrt(3.0 / np.prod(shape[1:])) * (2 * u - 1)
    elif name == "class_net.predict.conv_pw.bias":
        value = 0.2 * (u - 0.5) - 4  # most anchors are background, as at the start of a training
    elif name.endswith("weight"):
        value = 0.5 + u
    else:
        value = 0.2 * (u - 0.5)
    return value.astype(np.float32)


def images(batch, height, width, name="images"):
    """(N, 3, H, W), -2 to 2."""
    return (4 * uniform(name, (batch, 3, height, width)) - 2).astype(np.float32)


def objects(batch, height, width, classes, count=5):
    """For each image (count, 4) boxes ymin, xmin, ymax, xmax in pixels, and count labels from 0."""
    u = uniform("objects", (batch, count, 5))
    tall, wide = (0.1 + 0.5 * u[..., 2]) * height, (0.1 + 0.5 * u[..., 3]) * width
    y, x = u[..., 0] * (height - tall), u[..., 1] * (width - wide)
    boxes = np.stack([y, x, y + tall, x + wide], -1).astype(np.float32)
    return boxes, np.floor(u[..., 4] * classes).astype(np.int64)


def sample(name, values, count=256):
    """The stored summary of an output: its norm, its size, and the numbers at some places, all for small outputs."""
    values = np.asarray(values, dtype=np.float32).reshape(-1)
    places = words("places of " + name, count) % np.uint64(values.size) if values.size > count else slice(None)
    norm = np.linalg.norm(values.astype(np.float64))
    return np.concatenate([[norm, values.size], values[places]]).astype(np.float32)
