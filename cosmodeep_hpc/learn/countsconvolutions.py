"""The convolutions of a counts network on cores of a CPU, layer after layer in a core's cache.

What they leave is small: the logits of the pixels, and the mean of each of the other maps.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.compiled import compiled
from cosmodeep_hpc.learn import countslayers as layers
from cosmodeep_hpc.learn import countsnetwork
from cosmodeep_hpc.learn.countslayers import FIRST, THREE, TWO, WIDER, WIDEST
from cosmodeep_hpc.learn.firstlayer import TAPS
from cosmodeep_hpc.learn.winograd import POINTS, STEP, patches, transformed, width
from cosmodeep_hpc.vectors import zeros

Array = NDArray[np.float32]

TOGETHER = 2
"""Tiles that go from layer to layer together."""


class Deep(NamedTuple):
    """What the layers at an eighth of the resolution multiply by.

    Attributes:
        kernels: of the two convolutions, `winograd.transformed`, float32 (2, 36, 48, 48); none of
            them where the network does not go as deep.
        raised: the matrix of what is added at a quarter, float32 (48, 48).
        biases: float32 (3, 48), of each in turn.
    """

    kernels: Array
    raised: Array
    biases: Array

    @classmethod
    def of(cls, network: Any) -> Deep:
        """Those of a Keras model of `countsnetwork.build`, as they are now."""
        if countsnetwork.depth_of(network) == 2:
            return cls(*(zeros((0, *shape)) for shape in ((POINTS**2, 1, 1), (1,), (1,))))
        pairs = (network.get_layer(f"deep{n}").get_weights() for n in (1, 2, 3))
        kernels, biases = zip(*pairs, strict=True)
        filtered, raised = zeros((2, POINTS**2, WIDEST, WIDEST)), zeros((WIDEST, WIDEST))
        filtered[:] = [transformed(kernel, WIDEST) for kernel in kernels[:2]]
        raised[:] = kernels[2][0, 0]
        return cls(filtered, raised, np.stack(biases))


class Weights(NamedTuple):
    """What the layers multiply by, zeros where there is room for more columns.

    Attributes:
        first: float32 (9, 16).
        second, third, fourth, sixth: kernels `winograd.transformed`, float32 (36, c, 48).
        fifth, last: matrices, float32 (c, 48); the last one's first columns are those of the
            pixels' logits, up to 16 of them, and then come those of the features.
        biases: float32 (7, 48), of each layer in turn.
        deep: of the layers at an eighth of the resolution.
    """

    first: Array
    second: Array
    third: Array
    fourth: Array
    fifth: Array
    sixth: Array
    last: Array
    biases: Array
    deep: Deep

    @classmethod
    def of(cls, network: Any) -> Weights:
        """Those of a Keras model of `countsnetwork.build`, as they are now."""
        names = [*(f"conv{n}" for n in range(1, 7)), "pixel_logits", "features"]
        pairs = (network.get_layer(name).get_weights() for name in names)
        kernels, biases = zip(*pairs, strict=True)
        all_biases, last = zeros((len(names) - 1, WIDEST)), zeros((WIDER, WIDEST))
        for row, bias in zip(all_biases, biases, strict=False):
            row[: len(bias)] = bias
        for start, number in ((0, -2), (FIRST, -1)):
            columns = slice(start, start + len(biases[number]))
            all_biases[-1, columns] = biases[number]
            last[:, columns] = kernels[number][0, 0]
        fifth = zeros((WIDEST, WIDEST))
        fifth[:, :WIDER] = kernels[4][0, 0]
        second, third, fourth, sixth = (transformed(kernels[n], WIDEST) for n in (1, 2, 3, 5))
        first = np.ascontiguousarray(kernels[0].reshape(TAPS, FIRST))
        deep = Deep.of(network)
        return cls(first, second, third, fourth, fifth, sixth, last, all_biases, deep)


class Memory(NamedTuple):
    """What a thread works in, for `TOGETHER` tiles.

    Attributes:
        tile_halves, thirds, fourths, sixths: what the convolutions of 3 x 3 see, in zeros, float32
            (tiles, w, w, c), w = `winograd.width`.
        halves: the second one's result, whole patches.
        quarters, added: the fourth one's result and the fifth's, a row of 48 numbers a pixel.
        pixels, last: the sixth one's and the last one's, likewise.
        deep: what the two convolutions at an eighth see, float32 (2, tiles, w, w, 48).
        eighths, raised: the second one's result and what is added of it, as `quarters`.
        points: values and products at the points of all patches of a layer, float32
            (36, rows, 48).
    """

    tile_halves: Array
    halves: Array
    thirds: Array
    fourths: Array
    quarters: Array
    added: Array
    sixths: Array
    pixels: Array
    last: Array
    deep: Array
    eighths: Array
    raised: Array
    points: tuple[Array, Array]

    @classmethod
    def of(cls, inner: int, window: int) -> Memory:
        """For tiles with their margins of `window` pixels, and `inner` pixels' logits a side."""
        half, quarter, eighth = window // 2, window // 4, window // 8
        wide, small, seen, tiny = width(half), width(quarter), width(inner), width(eighth)
        large, low, high, least = (STEP * patches(n) for n in (half, quarter, inner, eighth))
        spare = TWO * THREE  # the last rows of a product are multiplied with what follows them

        def flat(side: int) -> Array:
            return zeros((TOGETHER * side * side + spare, WIDEST))

        points = (POINTS**2, -(-TOGETHER * patches(half) ** 2 // spare) * spare, WIDEST)
        return cls(
            zeros((TOGETHER, wide, wide, FIRST)),
            zeros((TOGETHER, large, large, WIDER)),
            zeros((TOGETHER, small, small, WIDER)),
            zeros((TOGETHER, small, small, WIDEST)),
            flat(low), flat(low),
            zeros((TOGETHER, seen, seen, WIDER)),
            flat(high), flat(high),
            zeros((2, TOGETHER, tiny, tiny, WIDEST)),
            flat(least), flat(least),
            (zeros(points), zeros(points)),
        )  # fmt: skip


first, multiply, convolve = layers.first, layers.multiply, layers.convolve
clear_beyond, pool, add, part = layers.clear_beyond, layers.pool, layers.add, layers.part


@compiled
def deepen(memory, weights, count, side, low) -> None:  # type: ignore[no-untyped-def]
    """Add to the maps of a quarter of the resolution what is found at an eighth of it.

    Args:
        memory: `Memory`, whose `quarters` have side x side pixels of `count` tiles, `low` in a
            line. weights: `Weights`.
    """
    rows = count * low * low
    quarters = memory.quarters[:rows].reshape((count, low, low, WIDEST))
    one, two, points = memory.deep[0], memory.deep[1], memory.points
    kernels, biases, wide = weights.deep.kernels, weights.deep.biases, memory.deep.shape[2]
    least = wide + STEP - POINTS
    pool(quarters, count, side // 2, one)
    convolve(one, count, kernels[0], WIDEST, biases[0], points, two, wide, 1)
    clear_beyond(two, count, side // 2)
    convolve(two, count, kernels[1], WIDEST, biases[1], points, memory.eighths, least, 0)
    rows = count * least * least
    multiply(memory.eighths, 0, rows, weights.deep.raised, 0, WIDEST, WIDEST, memory.raised, 0)
    add(quarters, memory.raised, least, count, biases[2], 0, 0, side, quarters)


@compiled
def forward(tiles, weights, memory, logits, features) -> None:  # type: ignore[no-untyped-def]
    """All convolutions of a counts network.

    Args:
        tiles: float32 (n, window, window), n <= `TOGETHER`.
        weights: `Weights`. memory: `Memory`.
        logits: float32 (n, size / 2, size / 2, T), filled, T <= 16.
        features: float32 (n, 32), filled: the mean over the same pixels of each feature.
    """
    count, inner = len(tiles), logits.shape[1]
    half, quarter = tiles.shape[1] // 2, tiles.shape[1] // 4
    biases, points, halves, fourths = weights.biases, memory.points, memory.halves, memory.fourths
    low, high = memory.thirds.shape[1] + STEP - POINTS, memory.sixths.shape[1] + STEP - POINTS
    first(tiles, weights.first, biases[0], memory.tile_halves)
    convolve(
        memory.tile_halves, count, weights.second, WIDER, biases[1], points,
        halves, halves.shape[1], 0,
    )  # fmt: skip
    pool(halves, count, quarter, memory.thirds)
    convolve(
        memory.thirds, count, weights.third, WIDEST, biases[2], points,
        fourths, fourths.shape[1], 1,
    )  # fmt: skip
    clear_beyond(fourths, count, quarter)
    convolve(
        fourths, count, weights.fourth, WIDEST, biases[3], points, memory.quarters, low, 0
    )  # fmt: skip
    if len(weights.deep.kernels):
        deepen(memory, weights, count, quarter, low)
    rows = count * low * low
    multiply(memory.quarters, 0, rows, weights.fifth, 0, WIDEST, WIDER, memory.added, 0)
    # with margins the last convolution sees a pixel of them around the tile, without zeros
    edge = 0 if half > inner else 1
    crop, seen = (half - inner) // 2 - 1 + edge, inner + 2 - 2 * edge
    add(halves, memory.added, low, count, biases[4], crop, edge, seen, memory.sixths)
    convolve(memory.sixths, count, weights.sixth, WIDER, biases[5], points, memory.pixels, high, 0)
    rows = count * high * high
    multiply(memory.pixels, 0, rows, weights.last, 0, WIDER, WIDEST, memory.last, 0)
    part(memory.last, high, biases[6], logits, features)


class CountsConvolutions:
    """Tiles to the logits of their pixels and the means of their features.

    A tile's have the same bits whatever its neighbours, its place and the number of threads; NaN
    where a pixel of it, or of its margins, is not finite.
    """

    def __init__(self, network: Any, threads: int) -> None:
        """With the weights of a Keras model of `countsnetwork.build`, as they are now."""
        self._weights = Weights.of(network)
        sides = network.output_shape[1][1], network.input_shape[1]
        self._memory = [Memory.of(*sides) for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def __call__(self, tiles: Array, logits: Array, features: Array) -> None:
        """Fill `logits` (n, size / 2, size / 2, T) and `features` (n, 32) of tiles (n, w, w)."""

        def work(part: range, memory: Memory) -> None:
            for start in part:
                rows = slice(start, min(start + TOGETHER, part.stop))
                forward(tiles[rows], self._weights, memory, logits[rows], features[rows])

        threads = len(self._memory)
        ends = [len(tiles) * k // threads for k in range(threads + 1)]
        parts = [range(ends[k], ends[k + 1], TOGETHER) for k in range(threads)]
        if self._pool is None:
            work(parts[0], self._memory[0])
        else:
            list(self._pool.map(work, parts, self._memory))
