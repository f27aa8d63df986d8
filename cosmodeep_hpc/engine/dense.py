"""The layers of numbers that follow a network's maps, for many tiles at a time.

A dense layer adds one product after the other, so a tile's sum never depends on other tiles: a BLAS
would give other bits with another number of tiles or threads, or on another processor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cosmodeep_hpc.engine import elementwise
from cosmodeep_hpc.engine.convolve import MAPS, ROW, SPARE, multiply
from cosmodeep_hpc.engine.graph import Array, Graph, Layer, UnknownLayer
from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.engine.simd import zeros
from cosmodeep_hpc.engine.winograd import UNROLLED

TILES = 128
"""Tiles multiplied at once: their numbers fit into a core's cache."""


@dataclass(frozen=True)
class Head:
    """The layers that follow the maps.

    Attributes:
        layers: each one after its inputs.
        matrices: of the dense layers, by name.
    """

    layers: tuple[Layer, ...]
    matrices: dict[str, Array]

    @classmethod
    def of(cls, graph: Graph, ends: Sequence[str], known: Sequence[str]) -> Head:
        """Find the layers that lead from the layers `known`, by name, to `ends`.

        Raises:
            UnknownLayer: a layer that the engine does not compute there.
        """
        wanted, layers = set(ends) - set(known), list[Layer]()
        for layer in reversed(graph.needed(ends)):
            if layer.name in wanted:
                if layer.kind not in COMPUTED:
                    raise UnknownLayer(f"layer {layer.name!r} of kind {layer.kind} on numbers")
                layers.append(layer)
                wanted |= set(layer.inputs) - set(known)
        dense = {layer.name: in_rows(layer.weights[0]) for layer in layers if layer.kind == "Dense"}
        return cls(tuple(reversed(layers)), dense)

    def __call__(self, found: dict[str, Array]) -> None:
        """Add each layer's output, float32 (n, ...), to the outputs found so far."""
        for layer in self.layers:
            given = [found[name] for name in layer.inputs]
            if layer.kind == "Dense":
                numbers = product(given[0], self.matrices[layer.name], layer.shape[0])
                numbers += layer.weights[1]
            else:
                numbers = COMPUTED[layer.kind](layer, given)
            found[layer.name] = ACTIVATED[layer.activation](numbers)


def _rescaled(layer: Layer, given: list[Array]) -> Array:
    scale, offset = (np.float32(layer.settings[name]) for name in ("scale", "offset"))
    return np.asarray(given[0] * scale + offset)


def _summed(layer: Layer, given: list[Array]) -> Array:
    total = given[0]
    for other in given[1:]:
        total = total + other
    return total


def _multiplied(layer: Layer, given: list[Array]) -> Array:
    total = given[0]
    for other in given[1:]:
        total = total * other
    return total


def _reshaped(layer: Layer, given: list[Array]) -> Array:
    return given[0].reshape(len(given[0]), *layer.shape)


COMPUTED: dict[str, Callable[[Layer, list[Array]], Array]] = {
    "Dense": lambda layer, given: given[0],
    "Activation": lambda layer, given: given[0],
    "Dropout": lambda layer, given: given[0],
    "Add": _summed,
    "Subtract": lambda layer, given: given[0] - given[1],
    "Multiply": _multiplied,
    "Rescaling": _rescaled,
    "Log": lambda layer, given: elementwise.log(given[0]),
    "Concatenate": lambda layer, given: np.concatenate(given, axis=-1),
    "Reshape": _reshaped,
    "Flatten": _reshaped,
    "Softmax": lambda layer, given: elementwise.softmax(given[0]),
}
"""The function of each kind of layer, before its activation."""

ACTIVATED: dict[str, Callable[[Array], Array]] = {
    "linear": lambda numbers: numbers,
    "relu": lambda numbers: np.maximum(numbers, np.float32(0)),
    "sigmoid": elementwise.sigmoid,
}


def in_rows(kernel: Array) -> Array:
    """Return a zero-padded kernel (k, f) for `product`: float32 (f / 48, k / 48, 48, 48)."""
    inputs, outputs = (-(-side // ROW) for side in kernel.shape)
    found = zeros((outputs, inputs, ROW, ROW))
    whole = np.zeros((inputs * ROW, outputs * ROW), dtype=np.float32)
    whole[: kernel.shape[0], : kernel.shape[1]] = kernel
    found[:] = whole.reshape(inputs, ROW, outputs, ROW).transpose(2, 0, 1, 3)
    return found


def product(rows: Array, matrix: Array, outputs: int) -> Array:
    """Multiply rows float32 (n, k) by a matrix of `in_rows`: float32 (n, outputs).

    A row's result has the same bits whatever the other rows, on any processor.
    """
    found = np.empty((len(rows), outputs), dtype=np.float32)
    room = TILES + SPARE
    values = zeros((matrix.shape[1], room, ROW))
    products = zeros((room, ROW))
    _product(np.ascontiguousarray(rows), matrix, values, products, found)
    return found


@jit
def _product(rows, matrix, values, products, found) -> None:  # type: ignore[no-untyped-def]
    inputs, outputs, room = rows.shape[1], found.shape[1], len(products)
    for start in range(0, len(rows), TILES):
        count = min(TILES, len(rows) - start)
        for r in range(count):
            for k in range(inputs):
                values[k // ROW, r, k % ROW] = rows[start + r, k]
        for f in range(0, outputs, ROW):
            wide = min(outputs - f, ROW)
            whole = -(-wide // MAPS) * MAPS
            for k in range(0, inputs, ROW):
                deep = -(-min(inputs - k, ROW) // UNROLLED) * UNROLLED
                source = k // ROW * room * ROW
                column = (f // ROW * len(values) + k // ROW) * ROW * ROW
                multiply(values, source, count, matrix, column, deep, whole, products, 0, k > 0)
            for r in range(count):
                for g in range(wide):
                    found[start + r, f + g] = products[r, g]
