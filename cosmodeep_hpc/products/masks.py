"""Probabilities and masks as FITS files: on the grid of cells, and on the image's own pixels.

The latter are written strip by strip: memory does not grow with the mosaic.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cosmodeep_hpc.images.file import BLOCK
from cosmodeep_hpc.io.files import fits_content
from cosmodeep_hpc.learn.pixelmap import BLANK, LEVELS, LOWEST
from cosmodeep_hpc.products.cube import UNKNOWN, Paint, PlaneBox
from cosmodeep_hpc.products.findings import Findings
from cosmodeep_hpc.survey.result import NO_DATA

MOST_PACKED = 3  # axes of a packed image, if it can be
ROW = np.dtype([("length", ">i8"), ("offset", ">i8")])  # a descriptor of 1QB


# --- products ---


def write_probability(found: Findings, path: Path) -> None:
    """Write the probability of cells and their coverage.

    A map of pixels has whole numbers of 16 bits, scaled to probabilities, `BLANK` where there is no
    data; its coverage says where there are. Tiles have float32, NaN where there is no data.
    """
    swept = found.swept
    if not swept.has_map:
        write_tile_probability(found, path)
        return
    maps = [plane.pixels for plane in swept.planes if plane.pixels is not None]
    header = found.grid_header.copy()
    header["BSCALE"], header["BZERO"] = 1 / LEVELS, -LOWEST / LEVELS
    header["BLANK"] = BLANK
    header["BTYPE"] = ("probability of signal", "BLANK: no data")
    cover = found.grid_header.copy()
    cover["EXTNAME"], cover["BTYPE"] = "COVERAGE", ("coverage", "1: the cell has data")

    def covered(plane: int, start: int, stop: int) -> NDArray[np.uint8]:
        has_data: NDArray[np.bool_] = maps[plane].rows(start, stop) != BLANK
        return has_data.astype(np.uint8)

    cube = found.cube.with_shape(maps[0].shape)
    rows = cube.height(1)
    with path.open("wb") as file:
        write_image(
            file, cube, header, rows, lambda plane, *some: maps[plane].rows(*some), np.int16(BLANK)
        )
        write_image(file, cube, cover, rows, covered, np.uint8(0), extension=True)


def write_tile_probability(found: Findings, path: Path) -> None:
    """Write the probability of tiles, NaN where there is no data, and their coverage."""
    cube, planes, header = found.cube, found.swept.planes, found.tile_header
    values = cube.grids([plane.tiles.probability for plane in planes], float("nan"))
    probability = fits.PrimaryHDU(values, header)
    probability.header["BTYPE"] = ("probability of signal", "NaN: no data")
    values = cube.grids([plane.tiles.coverage for plane in planes], 0)
    coverage = fits.ImageHDU(values, header, name="COVERAGE")
    coverage.header["BTYPE"] = ("coverage", "share of a cell's pixels with data")
    path.write_bytes(fits_content(probability, coverage))


def write_tiles(found: Findings, path: Path) -> None:
    """Write the mask on the grid of tiles: 1 signal, 0 noise, 255 no data."""
    swept = found.swept
    grids = [plane.tiles.mask(swept.tile_threshold) for plane in swept.planes]
    tiles = fits.PrimaryHDU(found.cube.grids(grids, NO_DATA), found.tile_header)
    tiles.header["BTYPE"] = ("tile mask", "1 signal, 0 noise, 255 no data")
    path.write_bytes(fits_content(tiles))


def write_mask(found: Findings, path: Path) -> None:
    """Write the mask of islands on the image's pixels: 1 signal, 0 noise, 255 no data."""
    header = found.pixel_header.copy()
    header["BTYPE"] = ("mask", "1 signal, 0 noise, 255 no data")
    _write(found, path, header, found.cube.height(found.swept.cell), found.of_cells)


def _write(found: Findings, path: Path, header: fits.Header, rows: int, paint: Paint) -> None:
    packed = found.config.classify.compress_mask
    (write_packed if packed else write_plain)(path, found.cube, header, rows, paint)


# --- files of masks on the image's pixels ---


def write_plain(path: Path, cube: PlaneBox, header: fits.Header, rows: int, paint: Paint) -> None:
    """Write a mask as the primary image of a FITS file.

    The pixels are not given to astropy's `StreamingHDU`: where the disk is full, it does not say
    so, or leaves a file that is too short without an error.
    """
    with path.open("wb") as file:
        write_image(file, cube, header, rows, paint, UNKNOWN)


def write_image(
    file: BinaryIO,
    cube: PlaneBox,
    header: fits.Header,
    rows: int,
    paint: Paint,
    fill: np.integer,
    *,
    extension: bool = False,
) -> None:
    """Write whole numbers of 8 or 16 bits, which `paint` returns, as an image of a FITS file.

    Args:
        rows: painted at once.
        fill: where no plane was swept; of the type of the numbers.
        extension: whether it is not the primary image.
    """
    begin = ("XTENSION", "IMAGE") if extension else ("SIMPLE", True)
    whole = fits.Header([begin, ("BITPIX", 8 * fill.itemsize), *_axes("NAXIS", cube.axes)])
    if extension:
        whole["PCOUNT"], whole["GCOUNT"] = 0, 1
    else:
        whole["EXTEND"] = True
    whole.extend(header, strip=False)  # with its scaling
    file.write(whole.tostring().encode("ascii"))
    written = 0
    for strip in cube.strips(rows, paint, fill):
        written += file.write(strip.astype(strip.dtype.newbyteorder(">"), copy=False).data)
    file.write(bytes(-written % BLOCK))


def write_packed(path: Path, cube: PlaneBox, header: fits.Header, rows: int, paint: Paint) -> None:
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
        file.write(_packed_header(cube, header, rows, table, 0).tostring().encode("ascii"))
        at = file.tell()
        file.write(table.tobytes())
        heap = 0
        for number, strip in enumerate(cube.strips(rows, paint)):
            packed = _gzip(strip)
            table[number] = len(packed), heap
            heap += file.write(packed)
        file.write(bytes(-(table.nbytes + heap) % BLOCK))
        file.seek(begin)
        file.write(_packed_header(cube, header, rows, table, heap).tostring().encode("ascii"))
        file.seek(at)
        file.write(table.tobytes())


def _packed_header(
    cube: PlaneBox, header: fits.Header, rows: int, table: NDArray[np.void], heap: int
) -> fits.Header:
    """Return the header of a table of packed strips, `heap` bytes of them."""
    # CFITSIO unpacks three axes at most: the last ones go where they are of length 1. The world
    # coordinates, of which there may be more than axes, still tell of them.
    axes, tile = list(cube.axes), [1] * cube.y + [rows, *cube.axes[cube.y + 1 :]]
    while len(axes) > MOST_PACKED and axes[0] == 1 and cube.y > len(cube.axes) - len(axes):
        axes, tile = axes[1:], tile[1:]
    whole = fits.Header(
        [
            ("XTENSION", "BINTABLE"),
            ("BITPIX", 8),
            *_axes("NAXIS", (len(table), ROW.itemsize)),
            ("PCOUNT", heap),
            ("GCOUNT", 1),
            ("TFIELDS", 1),
            ("TTYPE1", "COMPRESSED_DATA"),
            ("TFORM1", f"1QB({int(table['length'].max(initial=0))})"),
            ("ZIMAGE", True),
            ("ZSIMPLE", True),
            ("ZBITPIX", 8),
            *_axes("ZNAXIS", axes),
            *_axes("ZTILE", tile)[1:],
            ("ZCMPTYPE", "GZIP_1"),
            ("EXTNAME", "MASK"),
        ]
    )
    whole.extend(header)
    return whole


def _axes(name: str, lengths: Sequence[int]) -> list[tuple[str, int]]:
    """Return the cards of how many axes there are, and of their lengths (slowest first)."""
    each = [(f"{name}{number}", length) for number, length in enumerate(reversed(lengths), 1)]
    return [(name, len(lengths)), *each]


def _gzip(strip: NDArray[np.uint8]) -> bytes:
    """Return a gzip file of the pixels, with no time in it.

    Masks are runs of equal bytes: looking for these alone makes files smaller, three times as fast.
    """
    packer = zlib.compressobj(4, zlib.DEFLATED, 31, 9, zlib.Z_RLE)
    return packer.compress(strip.data) + packer.flush()
