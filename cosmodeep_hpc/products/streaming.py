"""Masks on the image's pixels, written strip by strip: memory does not grow with the mosaic."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cosmodeep_hpc.products.cube import Paint, PlaneBox
from cosmodeep_hpc.products.fitsfile import image_header, pad, write_header

STRIP = 2**22  # pixels of a strip, about
TALL = 2**26  # the same where tall strips pay
TALLEST = 1024  # rows of a strip, at most
MOST_PACKED = 3  # axes of a packed image, if it can be
ROW = np.dtype([("length", ">i8"), ("offset", ">i8")])  # a descriptor of 1QB


def height(cube: PlaneBox, cell: int, pixels: int = STRIP) -> int:
    """Rows of an image in a strip of about `pixels`: whole cells, or less than one."""
    a_row = int(np.prod(cube.axes[cube.y + 1 :]))
    fitting = min(max(1, pixels // a_row), max(cell, TALLEST))
    rows = fitting // cell * cell if fitting >= cell else fitting
    return min(rows, cube.axes[cube.y])


def write_plain(path: Path, cube: PlaneBox, cards: fits.Header, rows: int, paint: Paint) -> None:
    """Write a mask as the primary image of a FITS file."""
    written = 0
    with path.open("wb") as file:
        write_header(file, image_header(cube.axes), cards)
        for strip in cube.strips(rows, paint):
            file.write(strip.data)
            written += strip.nbytes
        pad(file, written)


def write_packed(path: Path, cube: PlaneBox, cards: fits.Header, rows: int, paint: Paint) -> None:
    """Write a mask tile-compressed (GZIP_1), a tile being `rows` rows of an image.

    astropy compresses an image that it holds whole; this one may be larger than the memory.

    Source: FITS standard 4.0, section 10.1.
    """
    ny = cube.axes[cube.y]
    tiles = int(np.prod(cube.axes[: cube.y])) * -(-ny // rows)
    table = np.zeros(tiles, ROW)
    with path.open("wb") as file:
        file.write(fits.PrimaryHDU().header.tostring().encode("ascii"))
        begin = file.tell()
        # written twice, of one length: the size of the heap is known at the end
        file.write(_packed_header(cube, cards, rows, table, 0).tostring().encode("ascii"))
        at = file.tell()
        file.write(table.tobytes())
        heap = 0
        for number, strip in enumerate(cube.strips(rows, paint)):
            packed = _gzip(strip)
            table[number] = len(packed), heap
            file.write(packed)
            heap += len(packed)
        pad(file, table.nbytes + heap)
        file.seek(begin)
        file.write(_packed_header(cube, cards, rows, table, heap).tostring().encode("ascii"))
        file.seek(at)
        file.write(table.tobytes())


def _packed_header(
    cube: PlaneBox, cards: fits.Header, rows: int, table: NDArray[np.void], heap: int
) -> fits.Header:
    header = fits.Header()
    header["XTENSION"] = "BINTABLE"
    header["BITPIX"] = 8
    header["NAXIS"] = 2
    header["NAXIS1"] = ROW.itemsize
    header["NAXIS2"] = len(table)
    header["PCOUNT"] = heap
    header["GCOUNT"] = 1
    header["TFIELDS"] = 1
    header["TTYPE1"] = "COMPRESSED_DATA"
    header["TFORM1"] = f"1QB({int(table['length'].max(initial=0))})"
    header["ZIMAGE"] = True
    header["ZSIMPLE"] = True
    header["ZBITPIX"] = 8
    # CFITSIO unpacks three axes at most: the last ones go where they are of length 1. The world
    # coordinates, of which there may be more than axes, still tell of them.
    axes, tile = list(cube.axes), [1] * cube.y + [rows, *cube.axes[cube.y + 1 :]]
    while len(axes) > MOST_PACKED and axes[0] == 1 and cube.y > len(cube.axes) - len(axes):
        axes, tile = axes[1:], tile[1:]
    header["ZNAXIS"] = len(axes)
    for number, length in enumerate(reversed(axes)):
        header[f"ZNAXIS{number + 1}"] = length
    for number, length in enumerate(reversed(tile)):
        header[f"ZTILE{number + 1}"] = length
    header["ZCMPTYPE"] = "GZIP_1"
    header["EXTNAME"] = "MASK"
    header.update(cards)
    return header


def _gzip(strip: NDArray[np.uint8]) -> bytes:
    """A gzip file of the pixels, with no time in it.

    Masks are runs of equal bytes: looking for these alone makes files smaller, three times as fast.
    """
    packer = zlib.compressobj(4, zlib.DEFLATED, 31, 9, zlib.Z_RLE)
    return packer.compress(strip.data) + packer.flush()


def painter(grids: list[NDArray[np.uint8]], width: int, cell: int, fill: int) -> Paint:
    """Paints the cells of each plane on the image's pixels; `fill` beyond the last cell."""

    def paint(plane: int, start: int, stop: int) -> NDArray[np.uint8]:
        return repeated_rows(grids[plane], width, cell, fill, start, stop)

    return paint


def repeated_rows(
    grid: NDArray[np.uint8], width: int, cell: int, fill: int, start: int, stop: int
) -> NDArray[np.uint8]:
    """Rows `start` to `stop` of the image's pixels, each with the value of its cell."""
    first, last = start // cell, min(-(-stop // cell), len(grid))
    pixels = np.full((stop - start, width), fill, np.uint8)
    lines = np.repeat(grid[first:last], cell, axis=1)[:, :width]
    for row, line in enumerate(lines, first):
        there = slice(max(row * cell, start) - start, min((row + 1) * cell, stop) - start)
        pixels[there, : len(line)] = line
    return pixels
