"""The paper's two convolutions with their poolings, on the cores of a CPU."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine import fastbackward, firstlayer, secondlayer, winograd
from cosmodeep_hpc.engine.arrays import Array
from cosmodeep_hpc.engine.simd import zeros

BLOCK = 10
"""Tiles per block: their maps lie in a core's cache together, between the layers."""


@dataclass(frozen=True)
class Weights:
    """The weights of both convolutions, as the loops read them.

    Attributes:
        first: float32 (9, 32), the first layer's kernel. bias: float32 (32,), its bias.
        second: float32 (36, 32, 64), the second layer's kernel at Winograd's points.
        backward: float32 (64, 3, 3, 32), the same kernel, with each feature's numbers together.
    """

    first: Array
    bias: Array
    second: Array
    backward: Array

    @classmethod
    def of(cls, first: Array, bias: Array, second: Array) -> Weights:
        """Prepare kernels (3, 3, 1, 32) and (3, 3, 32, 64) and the bias between them."""
        backward = zeros((second.shape[3], *second.shape[:3]))
        backward[:] = second.transpose(3, 0, 1, 2)
        flat = np.ascontiguousarray(first.reshape(firstlayer.TAPS, -1))
        return cls(flat, np.ascontiguousarray(bias), winograd.transformed(second), backward)


@dataclass(frozen=True)
class Pass:
    """What a forward pass keeps for the backward pass: see `firstlayer` and `secondlayer`."""

    maps: Array
    chosen: NDArray[np.uint8]
    places: NDArray[np.int32]

    def part(self, rows: slice) -> Pass:
        """Return the part of some tiles."""
        return Pass(self.maps[rows], self.chosen[rows], self.places[rows])


class Convolutions:
    """Computes the maxima of the second layer over bins, before bias and ReLU, and gradients.

    A tile's maxima have the same bits whatever its neighbours, its place and the number of threads;
    they are NaN if one of its pixels is not finite.
    """

    def __init__(self, size: int, *, pyramid: bool, threads: int) -> None:
        """Prepare for tiles of `size` pixels, with 3 x 3 bins (`pyramid`) or bins of 2 x 2."""
        self._side = -(-size // 2)
        self._bin_size = math.ceil(self._side / 3) if pyramid else 2
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._scratch = [secondlayer.scratch(self._side) for _ in range(threads)]
        self._blocks = [self._memory(BLOCK) for _ in range(threads)]
        self._d_maps = [self._memory(BLOCK).maps for _ in range(threads)]
        self._kept = self._memory(0)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a tile's maxima."""
        bins = -(-self._side // self._bin_size)
        return bins, bins, secondlayer.FEATURES

    def maxima(self, tiles: Array, weights: Weights, found: Array) -> None:
        """Fill `found` (n, i, i, 64) with the maxima of tiles (n, size, size)."""

        def work(part: slice, thread: int) -> None:
            for rows in _blocks(part):
                kept = self._blocks[thread].part(slice(rows.stop - rows.start))
                self._forward(tiles[rows], weights, found[rows], kept, thread)

        self._share(work, len(tiles))

    def kept_maxima(self, tiles: Array, weights: Weights) -> Array:
        """Return the maxima (n, i, i, 64) of tiles, and keep what `gradients` needs."""
        count = len(tiles)
        if len(self._kept.maps) < count:
            self._kept = self._memory(count)
        found = zeros((count, *self.shape))

        def work(part: slice, thread: int) -> None:
            for rows in _blocks(part):
                kept = self._kept.part(rows)
                self._forward(tiles[rows], weights, found[rows], kept, thread)

        self._share(work, count)
        return found

    def gradients(
        self, tiles: Array, weights: Weights, slopes: Array
    ) -> tuple[Array, Array, Array]:
        """Return the gradients of the first kernel, its bias and the second kernel.

        Args:
            tiles, weights: the arguments of the last `kept_maxima`.
            slopes: float32 (n, i, i, 64), the loss's gradient with respect to those maxima.
        """
        threads = len(self._scratch)
        first = zeros((threads, firstlayer.TAPS + 1, firstlayer.FEATURES))
        second = zeros((threads, *weights.backward.shape))

        def work(part: slice, thread: int) -> None:
            for rows in _blocks(part):
                kept = self._kept.part(rows)
                d_maps = self._d_maps[thread][: rows.stop - rows.start]
                d_maps[:] = 0
                fastbackward.gradients(
                    kept.maps, weights.backward, kept.places, slopes[rows], d_maps, second[thread]
                )
                firstlayer.gradients(tiles[rows], kept.chosen, d_maps, first[thread])

        self._share(work, len(tiles))
        d_first, d_second = first.sum(axis=0), second.sum(axis=0)
        d_kernel = d_first[:-1].reshape(3, 3, 1, -1)
        return d_kernel, d_first[-1], d_second.transpose(1, 2, 3, 0)

    def _memory(self, count: int) -> Pass:
        wide, side = winograd.width(self._side), self._side
        return Pass(
            zeros((count, wide, wide, secondlayer.MAPS)),
            np.zeros((count, side, side, secondlayer.MAPS), dtype=np.uint8),
            np.zeros((count, *self.shape), dtype=np.int32),
        )

    def _forward(
        self, tiles: Array, weights: Weights, found: Array, kept: Pass, thread: int
    ) -> None:
        firstlayer.pooled(tiles, weights.first, weights.bias, kept.maps, kept.chosen)
        secondlayer.maxima(
            kept.maps, weights.second, self._side, self._bin_size, self._scratch[thread],
            found, kept.places,
        )  # fmt: skip

    def _share(self, work: Callable[[slice, int], Any], count: int) -> None:
        """Do `work` on parts of `count` tiles, one a thread."""
        threads = len(self._scratch)
        ends = [count * k // threads for k in range(threads + 1)]
        parts = [slice(ends[k], ends[k + 1]) for k in range(threads)]
        if self._pool is None:
            work(parts[0], 0)
        else:
            list(self._pool.map(work, parts, range(threads)))


def _blocks(part: slice) -> list[slice]:
    """Return slices of at most `BLOCK` tiles that make up a part."""
    return [
        slice(start, min(start + BLOCK, part.stop)) for start in range(part.start, part.stop, BLOCK)
    ]
