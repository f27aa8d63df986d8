"""The backward pass of the second convolution through the pyramid, where the maxima were.

The pyramid keeps 9 values of a map: its gradient is zero at all but 9 of the 400 positions of a
40-pixel tile. The dense backward pass of the convolution multiplies by those zeros.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.compiled import compiled

Array = NDArray[np.float32]


def gradients(
    maps: Array, kernel: Array, found: Array, bins: Array, d_bins: Array, threads: int = 1
) -> tuple[Array, Array]:
    """The gradients of bins = max over bins of conv2d(maps, kernel), zero padded, stride 1.

    Of several equal maxima of a bin the first in row order gets the gradient, which is one of the
    valid ones (a subgradient). A bin whose maximum is NaN passes NaN on from its first position.

    Args:
        maps: float32 (n, h, w, c), what the convolution was given.
        kernel: float32 (3, 3, c, f).
        found: float32 (n, h, w, f), what it gave.
        bins: float32 (n, i, j, f), the maxima; bins are squares of ceil(h / 3), placed as by
            TensorFlow's SAME padding.
        d_bins: float32 (n, i, j, f), the loss's gradient with respect to them.
        threads: parts of the batch computed at a time; the sum over them is in their order.

    Returns:
        the gradients with respect to `maps` and `kernel`.
    """
    weights = np.ascontiguousarray(kernel.transpose(3, 0, 1, 2))  # a feature's in one stretch
    d_maps = np.zeros_like(maps)
    parts = [p for p in np.array_split(np.arange(len(maps)), threads) if len(p)]
    d_weights = np.zeros((max(1, len(parts)), *weights.shape), dtype=np.float32)
    cuts = [slice(p[0], p[-1] + 1) for p in parts]

    def work(k: int) -> None:
        at = cuts[k]
        _add(maps[at], weights, found[at], bins[at], d_bins[at], d_maps[at], d_weights[k])

    if len(cuts) > 1:
        with ThreadPoolExecutor(len(cuts)) as pool:
            list(pool.map(work, range(len(cuts))))
    elif cuts:
        work(0)
    return d_maps, np.ascontiguousarray(d_weights.sum(axis=0).transpose(1, 2, 3, 0))


@compiled
def _add(  # type: ignore[no-untyped-def]
    maps, weights, found, bins, d_bins, d_maps, d_weights
) -> None:
    """Add to `d_maps` (n, h, w, c) and `d_weights` (f, 3, 3, c); the arguments of `gradients`."""
    n, h, w, c = maps.shape
    features = weights.shape[0]
    rows, columns = bins.shape[1], bins.shape[2]
    side_y, side_x = -(-h // 3), -(-w // 3)
    top, left = (rows * side_y - h) // 2, (columns * side_x - w) // 2  # SAME padding
    nowhere = np.int32(h * w)
    place = np.empty((rows * columns, features), dtype=np.int32)
    # rows of pixels as one stretch of numbers: three neighbours' maps lie side by side
    maps, d_maps = maps.reshape(n, h, w * c), d_maps.reshape(n, h, w * c)
    weights, d_weights = weights.reshape(features, 3, 3 * c), d_weights.reshape(features, 3, 3 * c)
    for tile in range(n):
        for b in range(rows * columns):
            i, j = b // columns, b % columns
            best, where = bins[tile, i, j], place[b]
            y0, x0 = max(0, i * side_y - top), max(0, j * side_x - left)
            y1, x1 = min(h, (i + 1) * side_y - top), min(w, (j + 1) * side_x - left)
            where[:] = nowhere
            for y in range(y0, y1):
                for x in range(x0, x1):
                    here, values = np.int32(y * w + x), found[tile, y, x]
                    for f in range(features):
                        where[f] = min(where[f], here if values[f] == best[f] else nowhere)
            for f in range(features):
                if where[f] == nowhere:
                    where[f] = np.int32(y0 * w + x0)
        for f in range(features):
            for b in range(rows * columns):
                slope = d_bins[tile, b // columns, b % columns, f]
                if slope == 0:
                    continue
                y, x = place[b, f] // w, place[b, f] % w
                start, stop = max(x - 1, 0) * c, min(x + 2, w) * c
                first = start - (x - 1) * c
                for k in range(max(0, 1 - y), min(3, h + 1 - y)):
                    near, d_near = maps[tile, y + k - 1, start:stop], d_maps[tile, y + k - 1]
                    d_near = d_near[start:stop]
                    weight = weights[f, k, first : first + stop - start]
                    d_weight = d_weights[f, k, first : first + stop - start]
                    for e in range(stop - start):
                        d_weight[e] += slope * near[e]
                    for e in range(stop - start):
                        d_near[e] += slope * weight[e]
