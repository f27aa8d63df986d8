"""The tile grid of an image: cutting it, and painting tile values back on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from cosmodeep_hpc.images.distortion import is_tpv, of_blocks


def grid_shape(shape: tuple[int, int], size: int) -> tuple[int, int]:
    """Return the tiles along y and x; the last row and column may be partial tiles."""
    return -(-shape[0] // size), -(-shape[1] // size)


def cut(pixels: NDArray[np.float32], size: int, margin: int = 0) -> NDArray[np.float32]:
    """Cut pixels (ny, nx) into tiles (rows, cols, side, side), each with `margin` pixels around it.

    Tile (row, col) holds pixels [row * size - margin + y, col * size - margin + x], and its side is
    size + 2 margin; pixels beyond the image are NaN. Without a margin, if ny and nx are multiples
    of `size`, the tiles are a plain copy of the pixels.

    Source: Gheller, Vazza & Bonafede (2018), section 3.2 (without a margin).
    """
    rows, cols = grid_shape(pixels.shape, size)
    if margin:
        ny, nx = pixels.shape
        around = np.full((rows * size + 2 * margin, cols * size + 2 * margin), np.nan, np.float32)
        around[margin : margin + ny, margin : margin + nx] = pixels
        side = size + 2 * margin
        return np.ascontiguousarray(sliding_window_view(around, (side, side))[::size, ::size])
    if pixels.shape != (rows * size, cols * size):
        filled = np.full((rows * size, cols * size), np.nan, dtype=np.float32)
        filled[: pixels.shape[0], : pixels.shape[1]] = pixels
        pixels = filled
    blocks = pixels.reshape(rows, size, cols, size).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(blocks)


def coverage(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the share of each tile's pixels that have data, for tiles (..., size, size)."""
    with np.errstate(invalid="ignore", over="ignore"):
        sums = tiles.sum(axis=(-2, -1))  # finite if all pixels are: in most tiles
    share = np.ones(sums.shape, dtype=np.float32)
    partial = ~np.isfinite(sums)
    share[partial] = np.isfinite(tiles[partial]).mean(axis=(-2, -1))
    return share


def paint(values: NDArray[Any], shape: tuple[int, int], size: int) -> NDArray[Any]:
    """Paint tile values (rows, cols) on the image's pixels (ny, nx): the inverse of the tiling."""
    pixels = np.repeat(np.repeat(values, size, axis=0), size, axis=1)
    return pixels[: shape[0], : shape[1]]


def tile_wcs(wcs: WCS, size: int) -> WCS:
    """Return the coordinates of the tile grid: its pixel (row, col) is tile (row, col)'s centre."""
    # not wcs[::size, ::size]: astropy leaves the CD matrix of a header as it is
    grid = wcs.deepcopy()
    grid.wcs.crpix = (wcs.wcs.crpix - 0.5) / size + 0.5  # FITS counts pixel edges from 0.5
    if wcs.wcs.has_cd():
        grid.wcs.cd = wcs.wcs.cd * size
    elif wcs.wcs.has_pc() and is_tpv(wcs):  # terms act on what PC makes, before CDELT, and stay
        grid.wcs.pc = wcs.wcs.get_pc() * size
    else:
        grid.wcs.cdelt = wcs.wcs.cdelt * size
    if wcs.sip is not None:
        grid.sip = of_blocks(wcs.sip, size)
    if wcs.pixel_shape is not None:
        grid.pixel_shape = tuple(-(-side // size) for side in wcs.pixel_shape)
    return grid
