"""The planes of a mosaic on the axes of its file, for products that keep them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cosmodeep_hpc.images import axes as fits_axes
from cosmodeep_hpc.images.distortion import header_of
from cosmodeep_hpc.images.file import value
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.survey.result import NO_DATA, MosaicResult
from cosmodeep_hpc.tiles.tiling import tile_wcs

Paint = Callable[[int, int, int], NDArray[Any]]
"""From plane, first and last row: whole numbers (rows, columns of the image, or of cells)."""

UNKNOWN = np.uint8(NO_DATA)
STRIP = 2**22  # pixels of a strip, about
TALLEST = 1024  # rows of a strip, at most
KEPT = ("OBJECT", "TELESCOP", "INSTRUME", "OBSERVER", "RESTFRQ", "RESTFREQ", "BMAJ", "BMIN", "BPA")


@dataclass(frozen=True)
class PlaneBox:
    """The smallest box of the file's axes that holds the planes swept.

    Attributes:
        axes: lengths of the box, slowest first; the two celestial ones whole [pixel].
        y, x: which of `axes` are the rows and columns of a plane.
        first: the box's first plane, its index on the other axes of the file.
        places: a plane each, its index on the other axes from `first` on.
        numbers: a plane each, its number in the order of the file, from 0.
        image: a plane, for what they share.
    """

    axes: tuple[int, ...]
    y: int
    x: int
    first: tuple[int, ...]
    places: tuple[tuple[int, ...], ...]
    numbers: tuple[int, ...]
    image: Image

    @classmethod
    def of(cls, swept: MosaicResult) -> PlaneBox:
        """Return a mosaic's box: its file's axes, of length 1 where one plane of many was asked."""
        image, axes = swept.planes[0].image, swept.axes
        found = fits_axes.find_celestial(image.header, len(axes))
        assert found is not None  # or it would not have been opened
        y, x = len(axes) - found[1], len(axes) - found[0]
        others = [axis for axis in range(len(axes)) if axis not in (y, x)]
        index = np.array([plane.image.plane for plane in swept.planes], int)
        index = index.reshape(len(swept.planes), len(others))
        first, last = index.min(axis=0), index.max(axis=0)
        box, lengths = list(axes), tuple(axes[axis] for axis in others)
        for axis, low, high in zip(others, first, last, strict=True):
            box[axis] = int(high - low) + 1
        return cls(
            axes=tuple(box),
            y=y,
            x=x,
            first=tuple(int(i) for i in first),
            places=tuple(tuple(int(i) for i in row) for row in index - first),
            numbers=tuple(
                int(np.ravel_multi_index(tuple(row), lengths)) if others else 0 for row in index
            ),
            image=image,
        )

    @property
    def others(self) -> list[int]:
        """The axes that are not celestial."""
        return [axis for axis in range(len(self.axes)) if axis not in (self.y, self.x)]

    def header(self, cell: int) -> fits.Header:
        """Return world coordinates of all axes, on cells of `cell` pixels, and what the source was.

        The celestial ones are those that the image was understood to have; the others are the
        file's cards, without any turn between them.
        """
        header = fits.Header()
        header["WCSAXES"] = len(self.axes)
        grid = tile_wcs(self.image.wcs, cell)
        number = {1: len(self.axes) - self.x, 2: len(self.axes) - self.y}
        for card in header_of(grid).cards:
            name = fits_axes.renumbered(card.keyword, number)
            if name != "WCSAXES":
                header[name] = (card.value, card.comment)
        for axis in (1, 2):  # to_header rounds to 12 digits
            header[f"CRPIX{number[axis]}"] = float(grid.wcs.crpix[axis - 1])
            header[f"CRVAL{number[axis]}"] = float(grid.wcs.crval[axis - 1])
        has_cd = any(re.fullmatch(r"CD\d_\d", name) for name in header)
        for axis, low in zip(self.others, self.first, strict=True):
            header.update(self._other(len(self.axes) - axis, low, has_cd=has_cd))
        for name in KEPT:
            kept = value(self.image.header, name)
            if name not in header and _says_something(kept):
                header[name] = kept
        return header

    def _other(self, number: int, low: int, *, has_cd: bool) -> dict[str, Any]:
        """Return the cards of an axis that is not on the sky, from its index `low` on."""
        source = self.image.header
        cards: dict[str, Any] = {}
        for name in (f"CTYPE{number}", f"CUNIT{number}"):
            if isinstance(kept := value(source, name), str) and _says_something(kept):
                cards[name] = kept
        turned = f"{number}_{number}"
        step = _number(source, f"CDELT{number}", 1.0) * _number(source, f"PC{turned}", 1.0)
        step = _number(source, f"CD{turned}", step)
        cards[f"CD{turned}" if has_cd else f"CDELT{number}"] = step
        cards[f"CRPIX{number}"] = _number(source, f"CRPIX{number}", 0.0) - low
        cards[f"CRVAL{number}"] = _number(source, f"CRVAL{number}", 0.0)
        return cards

    def grids(self, planes: Sequence[NDArray[Any]], fill: float) -> NDArray[Any]:
        """Put grids (rows, cols), one a plane, on the box's axes; `fill` where none was swept."""
        shape = list(self.axes)
        shape[self.y], shape[self.x] = planes[0].shape
        cube = np.full(shape, fill, dtype=planes[0].dtype)
        for place, grid in zip(self.places, planes, strict=True):
            cube[self._where(place)] = grid
        return cube

    def frequencies(self) -> list[float]:
        """Return the frequency of each plane [Hz]; NaN where the file does not say it."""
        found = []
        for place in self.places:
            indices = {
                len(self.axes) - axis: at + low
                for axis, at, low in zip(self.others, place, self.first, strict=True)
            }
            known = fits_axes.frequency(self.image.header, indices, len(self.axes))
            found.append(known[0] if known else float("nan"))
        return found

    def height(self, cell: int) -> int:
        """Return the rows of a strip: whole cells, or less than one."""
        a_row = int(np.prod(self.axes[self.y + 1 :]))
        fitting = min(max(1, STRIP // a_row), max(cell, TALLEST))
        rows = fitting // cell * cell if fitting >= cell else fitting
        return min(rows, self.axes[self.y])

    def with_shape(self, shape: tuple[int, int]) -> PlaneBox:
        """Return the box with planes of other rows and columns, such as those of cells."""
        axes = list(self.axes)
        axes[self.y], axes[self.x] = shape
        return replace(self, axes=tuple(axes))

    def strips(
        self, height: int, paint: Paint, fill: np.integer = UNKNOWN
    ) -> Iterator[NDArray[Any]]:
        """Yield the box's pixels in the order of the file, `height` rows of an image at most.

        Args:
            paint: returns rows of a plane; asked for each once.
            fill: where none was swept; of the type of what `paint` returns.

        Yields:
            (rows, *lengths of the axes faster than the rows).
        """
        faster = self.axes[self.y + 1 :]
        for slower in np.ndindex(*self.axes[: self.y]):
            here = [n for n, place in enumerate(self.places) if place[: self.y] == slower]
            for start in range(0, self.axes[self.y], height):
                stop = min(start + height, self.axes[self.y])
                if self.x == len(self.axes) - 1 and len(faster) == 1 and len(here) == 1:
                    yield np.ascontiguousarray(paint(here[0], start, stop))
                    continue
                strip = np.full((stop - start, *faster), fill, fill.dtype)
                for number in here:
                    rows = paint(number, start, stop)
                    strip[self._where(self.places[number])[self.y :]] = rows
                yield strip

    def _where(self, place: tuple[int, ...]) -> tuple[Any, ...]:
        """Return the index of a plane in an array on the box's axes."""
        index: list[Any] = [slice(None)] * len(self.axes)
        for axis, at in zip(self.others, place, strict=True):
            index[axis] = at
        return tuple(index)


def painter(rows: Paint, shape: tuple[int, int], cell: int, fill: int) -> Paint:
    """Return what paints each plane's cells on the image's pixels; `fill` beyond the last cell.

    Args:
        rows: returns rows of the cells of a plane.
        shape: rows of cells, and columns of pixels.
        cell: side of a cell [pixel].
    """

    def paint(plane: int, start: int, stop: int) -> NDArray[np.uint8]:
        pixels = np.full((stop - start, shape[1]), fill, np.uint8)
        first, last = start // cell, min(-(-stop // cell), shape[0])
        lines = np.repeat(rows(plane, first, last), cell, axis=1)[:, : shape[1]]
        for row, line in enumerate(lines, first):
            there = slice(max(row * cell, start) - start, min((row + 1) * cell, stop) - start)
            pixels[there, : len(line)] = line
        return pixels

    return paint


def _says_something(found: Any) -> bool:
    """Return whether a card's value is one, and not blank."""
    return bool(found.strip()) if isinstance(found, str) else found is not None


def _number(header: fits.Header, name: str, default: float) -> float:
    """Return a number of a header, whose cards may be damaged."""
    found = value(header, name)
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else default
