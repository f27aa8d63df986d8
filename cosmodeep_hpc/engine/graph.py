"""A network as a list of layers in the order of computation, read from a Keras description."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cosmodeep_hpc.engine.arrays import Array

Shape = tuple[int, ...]

LAST = {"data_format": "channels_last"}
ONE_PIXEL = {"strides": [1, 1], "dilation_rate": [1, 1], "groups": 1, **LAST}
HALVED = {"pool_size": [2, 2], "strides": [2, 2], **LAST}
ACTIVATIONS = ("linear", "relu", "sigmoid")


class UnknownLayer(Exception):
    """A layer that the engine does not compute; the text names it."""


@dataclass(frozen=True)
class Layer:
    """One layer of a network.

    Attributes:
        name: its own name in the network.
        kind: Keras' name of its class.
        inputs: names of the layers that are its inputs.
        settings: Keras' description of it.
        shape: of its output, without the axis of tiles: (rows, columns, maps), or (numbers,).
        weights: kernel and bias, if it has any.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    settings: dict[str, Any]
    shape: Shape
    weights: tuple[Array, ...] = ()

    @property
    def activation(self) -> str:
        """Activation of a convolution, dense or activation layer: one of `ACTIVATIONS`."""
        return str(self.settings.get("activation", "linear"))


@dataclass(frozen=True)
class Graph:
    """A network.

    Attributes:
        layers: by name; each one after its inputs.
        input: name of the layer that stands for the tiles.
        outputs: names of the layers that give the network's outputs.
    """

    layers: dict[str, Layer]
    input: str
    outputs: tuple[str, ...]

    @property
    def side(self) -> int:
        """Side of the tiles [pixel]."""
        return self.layers[self.input].shape[0]

    def needed(self, ends: Iterable[str]) -> list[Layer]:
        """Return the layers that lead to `ends`, each one after its inputs."""
        wanted = set(ends)
        for layer in reversed(self.layers.values()):
            if layer.name in wanted:
                wanted.update(layer.inputs)
        return [layer for layer in self.layers.values() if layer.name in wanted]

    def users(self, name: str) -> list[Layer]:
        """Return the layers that have another layer's output as input."""
        return [layer for layer in self.layers.values() if name in layer.inputs]


def shape_of(kind: str, name: str, settings: dict[str, Any], given: Sequence[Shape]) -> Shape:
    """Return the shape of a layer's output.

    Args:
        kind, settings: Keras' name and description of the layer. given: shapes of its inputs.

    Raises:
        UnknownLayer: a kind of layer, or a setting, that the engine does not know.
    """
    check = _CHECKS.get(kind)
    if check is None:
        raise UnknownLayer(f"layer {name!r} of kind {kind}")
    found = check(settings, given)
    if found is None:
        told = ", ".join(f"{key} {settings[key]}" for key in _TOLD if key in settings)
        shapes = " and ".join(str(shape) for shape in given)
        raise UnknownLayer(f"layer {name!r} of kind {kind} ({told or 'its settings'}) on {shapes}")
    return found


_TOLD = (
    *("kernel_size", "pool_size", "size", "cropping", "strides", "dilation_rate", "groups"),
    *("padding", "activation", "axis", "interpolation", "data_format"),
)
"""Settings that an error names, if a layer has them."""


def _is_map(shape: Shape) -> bool:
    return len(shape) == 3


def _has(settings: dict[str, Any], expected: dict[str, Any]) -> bool:
    return all(settings.get(key, value) == value for key, value in expected.items())


def _input(settings: dict[str, Any], given: Sequence[Shape]) -> Shape | None:
    shape: Shape = tuple(settings["batch_shape"][1:])
    square = _is_map(shape) and None not in shape and shape[0] == shape[1] and shape[2] == 1
    return shape if square else None


def _convolution(settings: dict[str, Any], given: Sequence[Shape]) -> Shape | None:
    side = settings["kernel_size"]
    known = side in ([1, 1], [3, 3]) and settings["activation"] in ACTIVATIONS
    if not (known and _is_map(given[0]) and _has(settings, ONE_PIXEL)):
        return None
    cut = side[0] - 1 if settings["padding"] == "valid" else 0
    height, width, _ = given[0]
    return (
        (height - cut, width - cut, int(settings["filters"])) if min(height, width) > cut else None
    )


def _halved(settings: dict[str, Any], given: Sequence[Shape]) -> Shape | None:
    height, width, maps = given[0] if _is_map(given[0]) else (0, 0, 0)
    even = height % 2 == 0 and width % 2 == 0
    whole = settings["padding"] == "valid" or even
    fits = min(height, width) > 1 and whole and _has(settings, HALVED)
    return (height // 2, width // 2, maps) if fits else None


def _largest(settings: dict[str, Any], given: Sequence[Shape]) -> Shape | None:
    bins, steps = settings["pool_size"], settings["strides"]
    same = bins == steps and settings["padding"] == "same" and _has(settings, LAST)
    if not (_is_map(given[0]) and same):
        return None
    height, width, maps = given[0]
    return -(-height // bins[0]), -(-width // bins[1]), maps


def _doubled(settings: dict[str, Any], given: Sequence[Shape]) -> Shape | None:
    known = {"size": [2, 2], "interpolation": "nearest", **LAST}
    if not (_is_map(given[0]) and _has(settings, known)):
        return None
    height, width, maps = given[0]
    return 2 * height, 2 * width, maps


def _cropped(settings: dict[str, Any], given: Sequence[Shape]) -> Shape | None:
    (top, bottom), (left, right) = settings["cropping"]
    if not (_is_map(given[0]) and _has(settings, {"data_format": "channels_last"})):
        return None
    height, width, maps = given[0]
    shape = height - top - bottom, width - left - right, maps
    return shape if min(shape) > 0 else None


def _same(settings: dict[str, Any], given: Sequence[Shape]) -> Shape | None:
    return given[0] if len(set(given)) == 1 else None


def _activated(settings: dict[str, Any], given: Sequence[Shape]) -> Shape | None:
    return given[0] if settings["activation"] in ACTIVATIONS else None


def _whole(settings: dict[str, Any], given: Sequence[Shape]) -> Shape | None:
    known = {"keepdims": False, **LAST}
    return given[0][2:] if _is_map(given[0]) and _has(settings, known) else None


def _scaled(settings: dict[str, Any], given: Sequence[Shape]) -> Shape | None:
    numbers = isinstance(settings["scale"], int | float)
    return given[0] if numbers and isinstance(settings["offset"], int | float) else None


def _vector(settings: dict[str, Any], given: Sequence[Shape]) -> Shape | None:
    return None if _is_map(given[0]) else given[0]


def _joined(settings: dict[str, Any], given: Sequence[Shape]) -> Shape | None:
    last = settings.get("axis", -1) == -1 and {len(shape) for shape in given} == {1}
    return (sum(shape[0] for shape in given),) if last else None


def _dense(settings: dict[str, Any], given: Sequence[Shape]) -> Shape | None:
    known = len(given[0]) == 1 and settings["activation"] in ACTIVATIONS
    return (int(settings["units"]),) if known else None


def _reshaped(settings: dict[str, Any], given: Sequence[Shape]) -> Shape | None:
    shape = tuple(settings["target_shape"])
    same = -1 not in shape and np.prod(shape) == np.prod(given[0])
    return shape if same and not _is_map(given[0]) else None


def _flattened(settings: dict[str, Any], given: Sequence[Shape]) -> Shape | None:
    return (int(np.prod(given[0])),)


def _softmax(settings: dict[str, Any], given: Sequence[Shape]) -> Shape | None:
    return given[0] if settings.get("axis", -1) == -1 and len(given[0]) == 1 else None


_CHECKS: dict[str, Callable[[dict[str, Any], Sequence[Shape]], Shape | None]] = {
    "InputLayer": _input,
    "Conv2D": _convolution,
    "AveragePooling2D": _halved,
    "MaxPooling2D": _largest,
    "UpSampling2D": _doubled,
    "Cropping2D": _cropped,
    "Add": _same,
    "Subtract": _same,
    "Multiply": _same,
    "Activation": _activated,
    "GlobalAveragePooling2D": _whole,
    "GlobalMaxPooling2D": _whole,
    "Rescaling": _scaled,
    "Log": _vector,
    "Concatenate": _joined,
    "Dense": _dense,
    "Dropout": lambda settings, given: given[0],
    "Reshape": _reshaped,
    "Flatten": _flattened,
    "Softmax": _softmax,
}
"""The function from the shapes of each kind's inputs to its output's; None: not known."""
