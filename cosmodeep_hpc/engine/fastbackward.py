"""The backward pass of the second convolution, computed only at its maxima.

The pyramid keeps 9 values of a map: its gradient is zero at all but 9 of the 400 positions of a
40-pixel tile. A dense backward pass would multiply by those zeros.
"""

from __future__ import annotations

import numpy as np

from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.engine.secondlayer import FEATURES, MAPS
from cosmodeep_hpc.engine.simd import LANES, Code, Index, Pointer, Vector, operation

ROW = 3 * MAPS
"""Numbers of three neighbours in a row, whose maps lie side by side."""


@operation
def _at_maxima(
    code: Code, maps: Pointer, first: Index, places: Pointer, slopes: Pointer, count: Index,
    weights: Pointer, kernel: Index, d_maps: Pointer, d_weights: Pointer,
) -> None:  # fmt: skip
    """Add the gradients that one row of a feature's kernel gets and gives at `count` maxima."""
    vectors = range(0, ROW, LANES)

    def maximum(b: Index, sums: list[Vector]) -> list[Vector]:
        slope, start = code.one(slopes + b), first + code.index(places + b) * MAPS
        for k, e in enumerate(vectors):
            sums[k] = code.fused(slope, code.load(maps + (start + e)), sums[k])
            here = d_maps + (start + e)
            code.store(code.fused(slope, code.load(weights + (kernel + e)), code.load(here)), here)
        return sums

    places_of_sums = [d_weights + (kernel + e) for e in vectors]
    sums = code.loop(count, [code.load(place) for place in places_of_sums], maximum)
    for total, place in zip(sums, places_of_sums, strict=True):
        code.store(total, place)


@jit
def gradients(  # type: ignore[no-untyped-def]
    maps, weights, places, slopes, d_maps, d_weights
) -> None:
    """Add the gradients of `secondlayer.maxima` with respect to maps and kernel.

    Args:
        maps: float32 (n, w, w, 32), the maps given to `maxima`.
        weights: float32 (64, 3, 3, 32), the kernel, with each feature's numbers together.
        places: int32 (n, i, i, 64), as `maxima` fills it: the gradient of a maximum belongs there.
        slopes: float32 (n, i, i, 64), the loss's gradient with respect to the maxima.
        d_maps: float32 (n, w, w, 32); outside the maps, where `maps` is zero, sums mean nothing.
        d_weights: float32 (64, 3, 3, 32).
    """
    width, bins = maps.shape[1], places.shape[1] * places.shape[2]
    places, slopes = places.reshape(-1, bins, FEATURES), slopes.reshape(-1, bins, FEATURES)
    chosen = np.empty(bins, dtype=np.int32)
    given = np.empty(bins, dtype=np.float32)
    for tile in range(len(maps)):
        for f in range(FEATURES):
            count = 0
            for b in range(bins):
                if slopes[tile, b, f] != 0:
                    chosen[count], given[count] = places[tile, b, f], slopes[tile, b, f]
                    count += 1
            if count == 0:
                continue
            for k in range(3):
                first, row = (tile * width + k) * width * MAPS, (f * 3 + k) * ROW
                _at_maxima(maps, first, chosen, given, count, weights, row, d_maps, d_weights)
