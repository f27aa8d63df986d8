"""Panels that show parts of images with degrees on their axes, and marks on their tiles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.products import picture
from cosmodeep_hpc.sky.pictures import SKY_COLOURS

SHARPEST = 2000
"""Most pixels along a side of a picture."""
SKY_RANGE = (1e-10, 1e-5)
"""Colours of Sky images, logarithmic [Jy/arcsec^2]."""
GREYS = "gray_r"

LEFT, RIGHT, BOTTOM, TOP = 0.95, 1.35, 0.75, 0.55
"""Margins around the panels of a figure, with room for the colour bar [inch]."""
BETWEEN = (1.0, 1.0)
"""Gaps between panels, across and down [inch]."""
BAR = 0.22
"""Width of the colour bar, and its distance to the panels [inch]."""

Colours = Literal["sky", "sky in grey", "noise"]


FigureBox = tuple[float, float, float, float]
"""Left, bottom, width and height of a place in a figure, in its own units."""


@dataclass(frozen=True)
class ImagePart:
    """A part of an image, from the first row and column to before the last [pixel]."""

    rows: tuple[int, int]
    columns: tuple[int, int]

    @classmethod
    def whole(cls, image: Image) -> ImagePart:
        """Return the part that is the whole image."""
        return cls((0, image.shape[0]), (0, image.shape[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the part [pixel]."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    def holds(self, row: NDArray[Any], col: NDArray[Any], size: int) -> NDArray[np.bool_]:
        """Return which tiles of side `size` [pixel] have their centres in the part."""
        y, x = (row + 0.5) * size, (col + 0.5) * size
        inside = (y >= self.rows[0]) & (y < self.rows[1])
        return np.asarray(inside & (x >= self.columns[0]) & (x < self.columns[1]))


class PanelSheet:
    """A figure of panels of one size."""

    def __init__(self, size: tuple[float, float], across: int = 1, down: int = 1) -> None:
        """Create an empty figure; `size` is a panel's width and height [inch]."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.across, self.panel = across, size
        self.drawn = 0
        wide = across * size[0] + (across - 1) * BETWEEN[0]
        high = down * size[1] + (down - 1) * BETWEEN[1]
        self.inches = LEFT + wide + RIGHT, BOTTOM + high + TOP
        self.figure = Figure(figsize=self.inches, dpi=120)
        FigureCanvasAgg(self.figure)

    def box(self, left: float, bottom: float, wide: float, high: float) -> FigureBox:
        """Return a place of the figure [inch] in its own units."""
        width, height = self.inches
        return left / width, bottom / height, wide / width, high / height

    def next_box(self) -> FigureBox:
        """Return the place of the next panel, row by row from the top."""
        line, column = divmod(self.drawn, self.across)
        self.drawn += 1
        left = LEFT + column * (self.panel[0] + BETWEEN[0])
        top = self.inches[1] - TOP - line * (self.panel[1] + BETWEEN[1])
        return self.box(left, top - self.panel[1], *self.panel)

    def bar(self, drawn: Any, **options: Any) -> None:
        """Draw the colour bar of what a panel shows; `options` are matplotlib's."""
        width, height = self.inches
        tall = 0.8 * min(self.panel[1], height - TOP - BOTTOM)
        box = self.box(width - RIGHT + BAR, (height + BOTTOM - TOP - tall) / 2, BAR, tall)
        axes = self.figure.add_axes(box)
        bar = self.figure.colorbar(drawn, cax=axes, **options)
        bar.set_label("Jy/arcsec²", fontsize=11)


def panel_size(image: Image, widest: float) -> tuple[float, float]:
    """Return width and height of a panel of a whole image, the longer one of `widest` inches."""
    ny, nx = image.shape
    return widest * min(1.0, nx / ny), widest * min(1.0, ny / nx)


def draw(
    sheet: PanelSheet,
    image: Image,
    colours: Colours,
    *,
    window: ImagePart | None = None,
    sigma: float = 0.0,
) -> tuple[Any, Any]:
    """Draw a part of an image as the next panel of a sheet; its pixel units are the image's own.

    Args:
        colours: logarithmic for a Sky image; grey around the noise for a Noise image.
        window: the part to show, by default all.
        sigma: noise of the pixels of a Noise image [Jy/arcsec^2].

    Returns:
        the panel's axes, and the picture on them (for a colour bar).

    Raises:
        InputError: the image cannot be read.
    """
    from astropy import units
    from matplotlib.colors import LogNorm

    shown = window or ImagePart.whole(image)
    pixels, block = _pixels(image, shown)
    norm, map_name = (
        (picture.brightness(sigma / block), GREYS)  # averages over a block of white noise
        if colours == "noise"
        else (LogNorm(*SKY_RANGE, clip=True), SKY_COLOURS if colours == "sky" else GREYS)
    )
    if colours != "noise":
        pixels = np.maximum(pixels, np.float32(SKY_RANGE[0]))  # 0 has no logarithm
    axes: Any = sheet.figure.add_axes(sheet.next_box(), projection=image.wcs)
    left, bottom = shown.columns[0] - 0.5, shown.rows[0] - 0.5
    right, top = left + pixels.shape[1] * block, bottom + pixels.shape[0] * block
    drawn = axes.imshow(
        pixels, origin="lower", norm=norm, cmap=map_name, extent=(left, right, bottom, top)
    )
    axes.set_xlim(left, shown.columns[1] - 0.5)
    axes.set_ylim(bottom, shown.rows[1] - 0.5)
    for number, axis in enumerate(axes.coords):
        axis.set_format_unit(units.deg, decimal=True)
        axis.set_ticks_position("bl"[number])  # the other sides are of other degrees
        axis.set_axislabel(f"{picture.axis_name(image.wcs, number)} [deg]")
    return axes, drawn


def _pixels(image: Image, window: ImagePart) -> tuple[NDArray[np.float32], int]:
    """Return the pixels of a window, averaged over blocks for a whole image, and a block's side."""
    if window == ImagePart.whole(image):
        return picture.thumbnail(image, SHARPEST)
    return image.rows(*window.rows, slice(*window.columns)), 1


def mark(
    axes: Any,
    row: NDArray[Any],
    col: NDArray[Any],
    size: int,
    word: str,
    *,
    rim: str | None = None,
    **style: Any,
) -> None:
    """Write a word into the upper left of some tiles.

    Args:
        row, col: the tiles (n,).
        size: side of a tile [pixel].
        rim: colour around the letters, which stand on all shades.
        style: of matplotlib's text.
    """
    from matplotlib.patheffects import withStroke

    effects = [] if rim is None else [withStroke(linewidth=1.8, foreground=rim)]
    x, y = (col + 0.08) * size - 0.5, (row + 0.92) * size - 0.5
    for left, top in zip(x, y, strict=True):
        axes.text(left, top, word, ha="left", va="top", clip_on=True, path_effects=effects, **style)


def mesh(axes: Any, window: ImagePart, size: int, **style: Any) -> None:
    """Draw the lines between tiles of side `size` [pixel]."""
    from matplotlib.collections import LineCollection

    (bottom, top), (left, right) = window.rows, window.columns
    upright = [[(x, bottom), (x, top)] for x in _multiples(left, right, size)]
    level = [[(left, y), (right, y)] for y in _multiples(bottom, top, size)]
    axes.add_collection(LineCollection(list(np.array(upright + level) - 0.5), **style))


def _multiples(first: int, last: int, step: int) -> Iterable[int]:
    return range(-(-first // step) * step, last + 1, step)
