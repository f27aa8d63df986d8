"""The first convolution with its pooling on cores of a CPU, in one pass over the tiles.

Layer by layer it is bound by memory, not by arithmetic: its output is 32 times as large as a tile,
and pooling reads all of that again to keep a quarter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.compiled import compiled

Array = NDArray[np.float32]


FEATURES = 32
"""Maps of the first layer: a constant, so that the compiler unrolls the loop over them."""


def pooled_shape(size: int) -> tuple[int, int, int]:
    """The shape of one tile's pooled maps."""
    return -(-size // 2), -(-size // 2), FEATURES


@compiled
def _alone(  # type: ignore[no-untyped-def]
    around, kernel, bias, y, x, found
) -> None:
    """`pooled` of one window at an odd edge, which the padded tile `around` cuts."""
    h, w = around.shape[0] - 2, around.shape[1] - 2
    for f in range(len(found)):
        best = np.float32(-np.inf)
        for v in range(y, min(y + 2, h)):
            for u in range(x, min(x + 2, w)):
                total = np.float32(0)
                for k in range(9):
                    total += around[v + k // 3, u + k % 3] * kernel[k, f]
                best = max(best, total)
        found[f] = max(best + bias[f], np.float32(0))


@compiled
def pooled(  # type: ignore[no-untyped-def]
    tiles, kernel, bias, maps
) -> None:
    """Fill `maps` with relu(max over 2 x 2 of conv2d(tiles, kernel) + bias), zero padded, stride 1.

    The maximum is taken before bias and ReLU, which both rise monotonically. A last row or column
    without a partner is pooled alone, as by TensorFlow's SAME padding. A tile's maps depend on that
    tile alone.

    Args:
        tiles: float32 (n, h, w).
        kernel: float32 (9, 32), the pixels of 3 x 3 in row order.
        bias: float32 (32,).
        maps: float32 (n, ceil(h / 2), ceil(w / 2), 32).
    """
    n, h, w = tiles.shape
    rows, columns = maps.shape[1:3]
    zero = np.float32(0)
    around = np.zeros((h + 2, w + 2), dtype=np.float32)
    for tile in range(n):
        around[1 : h + 1, 1 : w + 1] = tiles[tile]
        for i in range(rows):
            for j in range(columns):
                found, y, x = maps[tile, i, j], 2 * i, 2 * j
                if y + 1 == h or x + 1 == w:
                    _alone(around, kernel, bias, y, x, found)
                    continue
                # the 4 x 4 pixels that the four convolutions see
                p00, p01 = around[y, x], around[y, x + 1]
                p02, p03 = around[y, x + 2], around[y, x + 3]
                p10, p11 = around[y + 1, x], around[y + 1, x + 1]
                p12, p13 = around[y + 1, x + 2], around[y + 1, x + 3]
                p20, p21 = around[y + 2, x], around[y + 2, x + 1]
                p22, p23 = around[y + 2, x + 2], around[y + 2, x + 3]
                p30, p31 = around[y + 3, x], around[y + 3, x + 1]
                p32, p33 = around[y + 3, x + 2], around[y + 3, x + 3]
                for f in range(FEATURES):
                    k0, k1, k2 = kernel[0, f], kernel[1, f], kernel[2, f]
                    k3, k4, k5 = kernel[3, f], kernel[4, f], kernel[5, f]
                    k6, k7, k8 = kernel[6, f], kernel[7, f], kernel[8, f]
                    a = p00 * k0 + p01 * k1 + p02 * k2
                    a += p10 * k3 + p11 * k4 + p12 * k5
                    a += p20 * k6 + p21 * k7 + p22 * k8
                    b = p01 * k0 + p02 * k1 + p03 * k2
                    b += p11 * k3 + p12 * k4 + p13 * k5
                    b += p21 * k6 + p22 * k7 + p23 * k8
                    c = p10 * k0 + p11 * k1 + p12 * k2
                    c += p20 * k3 + p21 * k4 + p22 * k5
                    c += p30 * k6 + p31 * k7 + p32 * k8
                    d = p11 * k0 + p12 * k1 + p13 * k2
                    d += p21 * k3 + p22 * k4 + p23 * k5
                    d += p31 * k6 + p32 * k7 + p33 * k8
                    a, c = (a if a > b else b), (c if c > d else d)
                    a = (a if a > c else c) + bias[f]
                    found[f] = a if a > zero else zero
