"""One plane of an image in grey, with outlines, sky coordinates and a bar of its brightness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.products.drawing.graticule import axis_name, ticks
from cosmodeep_hpc.products.drawing.lettering import lettered, shortened
from cosmodeep_hpc.survey.view import averaged
from cosmodeep_hpc.tiles.noise import MAD_TO_SIGMA, median

BLACK = 199  # greys are the colours from 0, white, to this one
NO_DATA, RED, BLUE = 200, 201, 202
SAMPLE = 2**17  # values that the noise of a picture is measured on

LEFT, RIGHT, TOP, BOTTOM = 110, 110, 34, 54  # of the plane in its panel
LEAST = 300  # sides of a panel without its margins, at least: room for words
SMALL, LARGE = 13, 15  # letters

FAINTEST, BRIGHTEST = -2.0, 60.0  # white and black, in units of the noise
SOFTENING = 0.1  # of the arcsinh between them
_FINE = 4096
_STRETCH = np.round(
    BLACK * np.arcsinh(np.arange(_FINE) / (_FINE - 1) / SOFTENING) / math.asinh(1 / SOFTENING)
).astype(np.uint8)


def palette() -> NDArray[np.uint8]:
    """The colours: uint8 (n, 3)."""
    greys = np.repeat(np.linspace(255, 0, BLACK + 1).round().astype(np.uint8)[:, None], 3, axis=1)
    others = np.array([(226, 236, 246), (214, 39, 40), (31, 119, 180)], np.uint8)
    return np.concatenate([greys, others])


@dataclass(frozen=True)
class Outline:
    """Cells to be outlined, groups of neighbours together.

    Attributes:
        where: bool (rows, cols). cell: their side [pixel of the image].
        colour: of the palette. name: in the legend.
    """

    where: NDArray[np.bool_]
    cell: int
    colour: int
    name: str


@dataclass(frozen=True)
class Scale:
    """Pixels of the picture for those of the image.

    Attributes:
        shape: rows and columns of the picture.
        per_pixel: pixels of the picture along one of the image.
    """

    shape: tuple[int, int]
    per_pixel: float

    def index(self, axis: int, side: int, count: int) -> NDArray[np.int64]:
        """Which of `count` blocks of `side` pixels of the image lies at each row or column."""
        middle = (np.arange(self.shape[axis]) + 0.5) / self.per_pixel
        return np.minimum((middle / side).astype(np.int64), count - 1)


def panel(
    image: Image,
    small: NDArray[np.float32],
    block: int,
    title: str,
    outlines: Sequence[Outline],
    side: int,
) -> NDArray[np.uint8]:
    """Draw a plane: uint8 (height, width), colours of `palette`, the uppermost row first.

    Args:
        small: the plane averaged over blocks of `block` x `block` pixels [Jy/arcsec^2].
        side: of the plane in the picture [pixel], about.
    """
    fewer = max(small.shape) // side
    if fewer > 1:
        small, block = averaged(small, fewer), block * fewer
    scale = _scale(image.shape, small.shape, block, side)
    noise = _noise(small)
    rows = scale.index(0, block, small.shape[0])
    columns = scale.index(1, block, small.shape[1])
    plane = _repeated(_grey(small, noise), rows, columns)
    for outline in reversed(outlines):  # the first one lies uppermost
        _outline(plane, scale, outline)
    height, width = (max(length, LEAST) for length in plane.shape)
    canvas = np.zeros((TOP + height + BOTTOM, LEFT + width + RIGHT), np.uint8)
    bottom, right = TOP + plane.shape[0], LEFT + plane.shape[1]
    canvas[TOP - 1 : bottom + 1, LEFT - 1 : right + 1] = BLACK
    canvas[TOP:bottom, LEFT:right] = plane[::-1]
    title = shortened(title, LARGE, canvas.shape[1] - 20)
    _write(canvas, title, (LEFT + right) // 2, TOP - 16, size=LARGE)
    _coordinates(canvas, image, scale)
    _bar(canvas, right + 16, noise)
    _legend(canvas, right - 8, outlines)
    return canvas


def _scale(shape: tuple[int, int], small: tuple[int, ...], block: int, side: int) -> Scale:
    """Whole pixels of the picture for one of the thumbnail."""
    per_pixel = max(1, side // max(small)) / block
    rows, columns = (max(1, round(length * per_pixel)) for length in shape)
    return Scale((rows, columns), per_pixel)


def _noise(small: NDArray[np.float32]) -> float:
    """Robust noise of a thumbnail; 1 where it has none."""
    values = small.ravel()[:: max(1, small.size // SAMPLE)]
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return 1.0
    noise = MAD_TO_SIGMA * float(median(np.abs(values - median(values))))
    return noise if noise > 0 else 1.0


def _grey(small: NDArray[np.float32], noise: float) -> NDArray[np.uint8]:
    """The colours of a thumbnail."""
    step = np.float32((BRIGHTEST - FAINTEST) * noise / (_FINE - 1))
    colours = np.empty(small.shape, np.uint8)
    pixels = np.ascontiguousarray(small).reshape(-1)
    _colour(pixels, np.float32(FAINTEST * noise), step, _STRETCH, colours.reshape(-1))
    return colours


@jit
def _colour(pixels, faintest, step, stretch, colours) -> None:  # type: ignore[no-untyped-def]
    """The colour of each pixel (n,) into `colours`."""
    last = np.float32(len(stretch) - 1)
    for i in range(len(pixels)):
        level = (pixels[i] - faintest) / step
        has_data = level == level
        level = min(max(level, np.float32(0)), last) if has_data else np.float32(0)
        colours[i] = stretch[np.int32(level)] if has_data else NO_DATA


def _repeated(
    cells: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[Any]:
    """The cells of these rows and columns; in the order of rows in memory, unlike `[:, columns]`.

    Both rise, and most often repeat each cell as often.
    """
    for axis, index in enumerate((rows, columns)):
        if len(index) != cells.shape[axis] or index[0] != 0 or index[-1] != len(index) - 1:
            cells = cells.take(index, axis=axis)
    return cells


def _outline(plane: NDArray[np.uint8], scale: Scale, outline: Outline) -> None:
    """Draw the sides between cells that are set and those that are not, two pixels wide."""
    if not outline.where.any():
        return
    rows, columns = (scale.index(axis, outline.cell, outline.where.shape[axis]) for axis in (0, 1))
    inside = np.pad(_repeated(outline.where, rows, columns), 1)
    upright, level = inside[1:, 1:-1] != inside[:-1, 1:-1], inside[1:-1, 1:] != inside[1:-1, :-1]
    edge = upright[1:] | upright[:-1] | level[:, 1:] | level[:, :-1]
    plane[edge] = outline.colour


def _write(
    canvas: NDArray[np.uint8],
    text: str,
    x: int,
    y: int,
    *,
    size: int = SMALL,
    across: float = 0.5,
    upright: bool = False,
) -> int:
    """Write a line about (x, y), as far as it lies on the canvas; its length [pixel].

    Args:
        across: share of the line that lies left of x.
        upright: turned to read from below to above, its middle at (x, y).
    """
    ink = lettered(text, size)
    if upright:
        ink = np.rot90(ink)
    left = max(0, x - round(across * ink.shape[1]))
    top = max(0, y - ink.shape[0] // 2)
    there = canvas[top : top + ink.shape[0], left : left + ink.shape[1]]
    ink = ink[: there.shape[0], : there.shape[1]]
    np.maximum(there, (ink.astype(np.uint16) * BLACK // 255).astype(np.uint8), out=there)
    return int(ink.shape[1])


def _coordinates(canvas: NDArray[np.uint8], image: Image, scale: Scale) -> None:
    """Ticks, their labels and the axes' names."""
    height, width = scale.shape
    bottom = TOP + height
    taken = 0
    for tick in ticks(image.wcs, image.shape, 0, max(1, width // 160)):
        x = LEFT + min(int((tick.at + 0.5) * scale.per_pixel), width - 1)
        canvas[bottom : bottom + 6, x] = BLACK
        room = lettered(tick.label, SMALL).shape[1]
        if x - room // 2 > taken:
            _write(canvas, tick.label, x, bottom + 16)
            taken = x + room // 2 + 8
    _write(canvas, axis_name(image.wcs, 0), LEFT + width // 2, bottom + 38)
    taken = canvas.shape[0]
    for tick in ticks(image.wcs, image.shape, 1, max(1, height // 120)):
        y = bottom - 1 - min(int((tick.at + 0.5) * scale.per_pixel), height - 1)
        canvas[y, LEFT - 6 : LEFT] = BLACK
        if y < taken:
            _write(canvas, tick.label, LEFT - 10, y, across=1.0)
            taken = y - 20
    _write(canvas, axis_name(image.wcs, 1), 14, TOP + height // 2, upright=True)


def _bar(canvas: NDArray[np.uint8], left: int, noise: float) -> None:
    """The bar of brightnesses, labelled in whole numbers of a power of ten."""
    height, width = canvas.shape[0] - TOP - BOTTOM, 20
    canvas[TOP - 1 : TOP + height + 1, left - 1 : left + width + 1] = BLACK
    colours = np.linspace(BLACK, 0, height).round().astype(np.uint8)
    canvas[TOP : TOP + height, left : left + width] = colours[:, None]
    highest, lowest = BRIGHTEST * noise, FAINTEST * noise
    power = math.floor(math.log10(highest))
    _write(canvas, f"1e{power}", left + width // 2, TOP - 16)
    taken = TOP + height + 20
    for number in range(10):
        share = (number * 10.0**power - lowest) / (highest - lowest)
        if share > 1:
            break
        at = math.asinh(share / SOFTENING) / math.asinh(1 / SOFTENING)
        y = TOP + round((1 - at) * (height - 1))
        if taken - y >= 20:
            canvas[y, left + width : left + width + 5] = BLACK
            _write(canvas, str(number), left + width + 9, y, across=0.0)
            taken = y
    _write(canvas, "Jy/arcsec²", left + width + 42, TOP + height // 2, upright=True)


def _legend(canvas: NDArray[np.uint8], right: int, outlines: Sequence[Outline]) -> None:
    """A box with the name of each outline and the number of its cells."""
    texts = [f"{outline.name}: {int(outline.where.sum())}" for outline in outlines]
    if not texts:
        return
    width = max(lettered(text, SMALL).shape[1] for text in texts) + 50
    left, top, line = right - width, TOP + 8, 20
    box = canvas[top : top + line * len(texts) + 8, max(0, left) : right]
    box[:] = BLACK // 5
    box[1:-1, 1:-1] = 0
    for number, (text, outline) in enumerate(zip(texts, outlines, strict=True)):
        y = top + 4 + line * number + line // 2
        canvas[y - 1 : y + 1, max(0, left + 8) : left + 36] = outline.colour
        _write(canvas, text, left + 42, y, across=0.0)
