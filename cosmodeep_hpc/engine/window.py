"""Windows of 2 x 2 pixels that a convolution of 3 x 3 is pooled over, in one pass over a tile."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from cosmodeep_hpc.engine.simd import Code, Index, Pointer, Vector

TAPS = 9
"""Numbers of a kernel for one map."""
CORNERS = 4
"""Number of pixels of a pooling window."""


def window_pixels(code: Code, around: Pointer, width: Index) -> Iterator[tuple[Vector, int, int]]:
    """Yield each pixel that a window reads, with a corner and the tap that meets the pixel there.

    They come pixel by pixel, so that few are in registers at a time; the taps of a corner come in
    order.
    """
    for y, x in product(range(4), range(4)):
        pixel = code.one(around + y * width + x)
        for corner in range(CORNERS):
            row, column = y - corner // 2, x - corner % 2
            if 0 <= row < 3 and 0 <= column < 3:
                yield pixel, corner, 3 * row + column
