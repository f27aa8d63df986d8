"""The layers of a network as JAX computes them; all of it can be traced and compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from cosmodeep_hpc.engine.graph import Array, Graph, Layer

PRECISION = lax.Precision.HIGHEST
"""float32 throughout: a GPU's shorter TF32 would give a mask that differs from a CPU's."""
Weights = Mapping[str, Sequence[Any]]

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "linear": lambda x: x,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
}


def weights_of(graph: Graph) -> dict[str, tuple[Array, ...]]:
    """Return kernels and biases by the names of layers."""
    return {name: layer.weights for name, layer in graph.layers.items() if layer.weights}


def outputs(
    graph: Graph, ends: Sequence[str], given: Any, weights: Weights, cell: int = 0
) -> list[Any]:
    """Compute layers of a network.

    Args:
        ends: names of the layers that are wanted.
        given: the network's input (n, rows, columns, 1).
        weights: as `weights_of` returns them, or on a device.
        cell: side of the squares of a map that numbers are taken of; 0: of whole maps.

    Returns:
        the outputs of `ends`; numbers of cells are (n cells, ...), row by row.
    """
    found = {graph.input: given}
    for layer in graph.needed(ends):
        if layer.name != graph.input:
            inputs = [found[name] for name in layer.inputs]
            values = _computed(layer, inputs, weights.get(layer.name, ()), cell)
            found[layer.name] = _ACTIVATIONS.get(layer.activation, lambda x: x)(values)
    return [found[end] for end in ends]


def _computed(layer: Layer, given: list[Any], weights: Sequence[Any], cell: int) -> Any:
    """Return a layer's output before its activation."""
    settings, first = layer.settings, given[0]
    match layer.kind:
        case "Conv2D":
            return _convolved(first, weights[0], settings["padding"]) + weights[1]
        case "Dense":
            return jnp.matmul(first, weights[0], precision=PRECISION) + weights[1]
        case "AveragePooling2D":
            return _squares(first, 2).mean(axis=(2, 4))
        case "MaxPooling2D":
            bins = (1, *settings["pool_size"], 1)
            return lax.reduce_window(first, -jnp.inf, lax.max, bins, bins, "SAME")
        case "UpSampling2D":
            return jnp.repeat(jnp.repeat(first, 2, axis=1), 2, axis=2)
        case "Cropping2D":
            (top, bottom), (left, right) = settings["cropping"]
            return first[:, top : first.shape[1] - bottom, left : first.shape[2] - right]
        case "GlobalAveragePooling2D":
            return _by_cells(_squares(first, cell or first.shape[1]).mean(axis=(2, 4)))
        case "GlobalMaxPooling2D":
            return _by_cells(_squares(first, cell or first.shape[1]).max(axis=(2, 4)))
        case "Rescaling":
            return first * settings["scale"] + settings["offset"]
        case "Log":
            return jnp.log(first)
        case "Concatenate":
            return jnp.concatenate(given, axis=-1)
        case "Reshape" | "Flatten":
            return first.reshape(-1, *layer.shape)
        case "Softmax":
            return jax.nn.softmax(first, axis=-1)
        case "Subtract":
            return first - given[1]
        case "Multiply":
            return first * given[1]
        case "Add":
            return first + given[1]
    return first  # activations, and what is there in training alone


def _convolved(maps: Any, kernel: Any, padding: str) -> Any:
    order = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        maps, kernel, (1, 1), padding.upper(), dimension_numbers=order, precision=PRECISION
    )


def _squares(maps: Any, side: int) -> Any:
    """Divide maps into squares: (n, rows, side, columns, side, maps); what is beyond goes."""
    count, (rows, cols) = len(maps), (length // side for length in maps.shape[1:3])
    whole = maps[:, : rows * side, : cols * side]
    return whole.reshape(count, rows, side, cols, side, -1)


def _by_cells(pooled: Any) -> Any:
    """Return numbers of cells, row by row: (n cells, maps)."""
    return pooled.reshape(-1, pooled.shape[-1])
